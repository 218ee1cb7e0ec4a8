import { Invalid } from '../errors.ts';

/**
 * The time that a member of a body says, which fits `format: date-time`. That lets leap seconds pass, which a `Date`
 * cannot hold, and by its offset a time may lie outside of the years that RFC 3339 can write. The year 0 is one before
 * Christ, which PostgreSQL gives back as no text that is a date.
 * @throws {Invalid} for a time that cannot be kept
 */
export function readTime(text: string, pointer: string): Date {
  const time = new Date(text);
  const year = time.getUTCFullYear();
  if (year >= 1 && year <= 9999) return time;
  throw new Invalid('invalid-body', 'The body breaks the rules listed in errors.', [
    { in: 'body', pointer, detail: 'is no time that can be kept' },
  ]);
}
