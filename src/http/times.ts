import { invalidBody } from './problems.ts';

/**
 * A time in a body. `format: date-time` lets leap seconds pass, which a `Date` cannot hold, and by its offset a time may
 * lie outside of the years that RFC 3339 can write. The year 0 is one before Christ, which PostgreSQL gives back as no
 * text that is a date.
 * @throws {Invalid} naming the member that `pointer` points to
 */
export function readTime(text: string, pointer: string): Date {
  const time = new Date(text);
  const year = time.getUTCFullYear();
  if (year >= 1 && year <= 9999) return time;
  throw invalidBody(pointer, 'is no time that can be kept');
}
