import { Cron } from 'croner';
import { invalidBody } from '../http/problems.ts';

/**
 * The first time after `after` that a cron expression names in a time zone. At a change of clocks, a time of day that
 * does not exist is the first moment after the gap, and one that is there twice counts once; where the minute or the hour
 * has a wildcard or a step, the times follow the elapsed time instead.
 * @throws {Invalid} saying which of the two cannot be read
 */
export function nextRun(expression: string, timeZone: string, after: Date): Date {
  if (!isTimeZone(timeZone))
    throw invalidBody('#/timeZone', 'must be the name of a time zone, such as Europe/Oslo');
  let next: Date | null;
  try {
    // Without a function nothing is ever timed by the library itself.
    const options = { timezone: timeZone, mode: '5-part', fixedTimeRule: 'no-wildcard' } as const;
    next = new Cron(expression, options).nextRun(after);
  } catch {
    throw invalidBody('#/cron', 'must be a cron expression of five parts, such as 30 6 * * 1-5');
  }
  if (next === null) throw invalidBody('#/cron', 'names no time that will ever come');
  return next;
}

function isTimeZone(name: string): boolean {
  try {
    new Intl.DateTimeFormat('en', { timeZone: name });
    return true;
  } catch {
    return false;
  }
}
