/*
 * To find and remove what is known of a person from JSON that stands elsewhere than in their own rows.
 */

/** What a person was ever called, and what else is known of them. */
export interface Person {
  userId: number;
  names: readonly string[];
  emails: readonly string[];
  /** Texts of their attributes. */
  values: readonly string[];
}

export const ERASED = '[erased]';

/** Whether a text names one of a person's emails, in any letter case, and not as a part of another address. */
export function mentions(text: string, { emails }: Person): boolean {
  const lower = text.toLowerCase();
  return emails.some((email) => placesOf(lower, email).length > 0);
}

/**
 * The same JSON, which mentions the person, without what is known of them: in every string their emails, and whole strings
 * that are their names, or one of their values with a digit in it: a plain word may be anybody's. Names of members and
 * kinds of tasks stay: programs go by them.
 */
export function redact(value: unknown, person: Person): unknown {
  if (typeof value === 'string') return redactText(value, person);
  if (Array.isArray(value)) return value.map((one) => redact(one, person));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, one]) => [name, name === 'kind' ? one : redact(one, person)]),
  );
}

export function redactText(text: string, { names, emails, values }: Person): string {
  if (names.includes(text) || (/\d/.test(text) && values.includes(text))) return ERASED;
  let redacted = text;
  for (const email of emails) {
    for (const at of placesOf(redacted.toLowerCase(), email).reverse()) {
      redacted = redacted.slice(0, at) + ERASED + redacted.slice(at + email.length);
    }
  }
  return redacted;
}

/** Where an email stands in a text, neither end of it within a longer address. */
function placesOf(lower: string, email: string): number[] {
  const places: number[] = [];
  const wanted = email.toLowerCase();
  if (lower.length === 0) return places;
  for (let at = lower.indexOf(wanted); at >= 0; at = lower.indexOf(wanted, at + 1)) {
    const before = lower.slice(0, at);
    const after = lower.slice(at + wanted.length);
    if (
      !/[\p{L}\p{N}._%+-]$/u.test(before.slice(-2)) &&
      !/^(?:[\p{L}\p{N}-]|\.[\p{L}\p{N}])/u.test(after.slice(0, 4))
    ) {
      places.push(at);
    }
  }
  return places;
}
