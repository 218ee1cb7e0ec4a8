import type { DialectName } from './url.ts';

/*
 * The database's clock in SQL: leases are compared with it and never with a replica's own, which may be wrong. SQLite
 * keeps times as milliseconds, PostgreSQL as `timestamptz`.
 */

/** The time at which the statement began: PostgreSQL can look along an index with it, unlike `clock_timestamp()`. */
export function now(dialect: DialectName): string {
  return dialect === 'sqlite'
    ? `cast(round(unixepoch('subsec') * 1000) as integer)`
    : 'statement_timestamp()';
}

/** `ms` (SQL for a number) after now. */
export function fromNow(dialect: DialectName, ms: string | number): string {
  return dialect === 'sqlite'
    ? `(${now(dialect)} + ${ms})`
    : `(${now(dialect)} + ${ms} * interval '1 millisecond')`;
}

/** The time that is `ms` (SQL for a number) after 1970. */
export function atMs(dialect: DialectName, ms: string): string {
  return dialect === 'sqlite' ? ms : `to_timestamp(${ms} / 1000.0)`;
}

/** How many milliseconds from now `time` (SQL) is; negative when it is over. */
export function msUntil(dialect: DialectName, time: string): string {
  return dialect === 'sqlite'
    ? `(${time} - ${now(dialect)})`
    : `ceil(extract(epoch from (${time} - ${now(dialect)})) * 1000)::float8`;
}

/** `time` (SQL) as RFC 3339 text in UTC, to the millisecond: as `toRfc3339` writes it, or null where that needs more thought. */
export function rfc3339(dialect: DialectName, time: string): string {
  return dialect === 'sqlite'
    ? // `strftime` with all of the format takes more than twice as long.
      `case typeof(${time}) when 'integer' then replace(datetime(${time} / 1000.0, 'unixepoch', 'subsec'), ' ', 'T') || 'Z' end`
    : // What JSON says of a time, which has a fraction only if it has one, is much cheaper than `to_char`.
      `case when ${time} < '10000-01-01' then substr(to_json(${time} at time zone 'UTC' + interval '1 microsecond')::text, 2, 23) || 'Z' end`;
}
