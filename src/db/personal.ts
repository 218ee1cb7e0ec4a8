import { listed } from './given.ts';
import type { DialectName } from './url.ts';

/*
 * To find and remove what is known of a person from JSON that stands elsewhere than in their own rows.
 */

/** All that a person was ever called. */
export interface Person {
  userId: number;
  names: readonly string[];
  emails: readonly string[];
  /** What else is known of them, as texts. */
  values: readonly string[];
}

export const ERASED = '[erased]';

/**
 * Whether a text column with JSON in it mentions a person: an email in any letter case, or a name as a whole string.
 * Its one value is `termsOf(person)`.
 */
export function mentions(dialect: DialectName, column: string): string {
  const position = dialect === 'sqlite' ? 'instr' : 'strpos';
  return `exists (select 1 from (${listed(dialect, 'text')}) as term
    where ${position}(lower(cast(${column} as text)), term.value) > 0)`;
}

/** As `mentions` looks for them. What `lower` does to letters beyond ASCII depends on the database: so both ways. */
export function termsOf({ names, emails }: Person): string {
  const terms = [
    ...names.map((name) => JSON.stringify(name)),
    ...emails.map((email) => JSON.stringify(email).slice(1, -1)),
  ];
  const ways = terms.flatMap((term) => [
    term.toLowerCase(),
    term.replace(/[A-Z]/g, (letter) => letter.toLowerCase()),
  ]);
  return JSON.stringify([...new Set(ways)]);
}

/** The same JSON, every string in it that is a person's name or value, or holds their email, replaced. */
export function redact(value: unknown, person: Person): unknown {
  if (typeof value === 'string') return isOf(person, value) ? ERASED : value;
  if (Array.isArray(value)) return value.map((one) => redact(one, person));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, one]) => [isOf(person, name) ? ERASED : name, redact(one, person)]),
  );
}

function isOf({ names, emails, values }: Person, text: string): boolean {
  const lower = text.toLowerCase();
  return (
    names.includes(text) ||
    values.includes(text) ||
    emails.some((email) => lower.includes(email.toLowerCase()))
  );
}
