const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;

/** How long a webhook waits after its first failure in a row, its second, …; then always as after the last. */
const BACKOFF_MS = [5 * SECOND, 30 * SECOND, 2 * MINUTE, 10 * MINUTE, 30 * MINUTE, HOUR, 2 * HOUR, 4 * HOUR];
const LATER_MS = 6 * HOUR;
/** What has failed for so long is disabled. */
export const GIVE_UP_MS = 72 * HOUR;
const LONGEST_ASKED_MS = 24 * HOUR;

/**
 * How long until the next attempt, after so many failures in a row before this one: at least what the receiver has asked
 * for. ± 10 %, so that what failed together does not come back together.
 */
export function retryAfterMs(failuresBefore: number, askedMs = 0): number {
  const ms = (BACKOFF_MS[failuresBefore] ?? LATER_MS) * (0.9 + 0.2 * Math.random());
  return Math.round(Math.max(ms, Math.min(askedMs, LONGEST_ASKED_MS)));
}

/** `Retry-After` in milliseconds: seconds or an HTTP date (RFC 9110 §10.2.3); undefined when it is neither. */
export function readRetryAfter(value: string | string[] | undefined, now = Date.now()): number | undefined {
  if (typeof value !== 'string') return undefined;
  if (/^\d{1,10}$/.test(value)) return Number(value) * SECOND;
  const at = /^[A-Z][a-z]+,? /.test(value) ? Date.parse(value) : Number.NaN;
  return Number.isNaN(at) ? undefined : Math.max(0, at - now);
}
