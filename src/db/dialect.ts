import type { DialectName } from './url.ts';

/*
 * What the two databases say differently in plain queries.
 */

/** The largest id either database can hold. A larger one is well-formed and belongs to nothing. */
export const MAX_ID = 2 ** 31 - 1;

/**
 * Dates come back as milliseconds since 1970 on SQLite and as text with an offset on PostgreSQL. With its blank the text
 * is none of ECMAScript's own, and a year before 100 would be taken for one of the last or this century.
 */
export function toDate(value: unknown): Date {
  return new Date(
    typeof value === 'string' ? value.replace(' ', 'T').replace(/[+-]\d\d$/, '$&:00') : (value as number),
  );
}

/** The same as RFC 3339 text in UTC, to the millisecond. PostgreSQL's text is taken as it is: a `Date` costs 1 µs. */
export function toRfc3339(value: unknown): string {
  const [, day, time, fraction = '0'] = (typeof value === 'string' && POSTGRESQL_TIME.exec(value)) || [];
  return day === undefined ? toDate(value).toISOString() : `${day}T${time}.${fraction.padEnd(3, '0')}Z`;
}

/** As DateStyle ISO and TimeZone UTC write a timestamptz(3) of the years 1 to 9999. */
const POSTGRESQL_TIME = /^(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d)(?:\.(\d{1,3}))?\+00$/;

/**
 * Rows whose `column` is one of those in one value, an array: the text of the query is the same for any many. `type` is
 * the column's on PostgreSQL.
 */
export function isAmong(dialect: DialectName, column: string, type = 'int'): string {
  return `${column} ${dialect === 'sqlite' ? 'in (select value from json_each(?))' : `= any(?::${type}[])`}`;
}

/**
 * To stand behind the name of a table: which partial index to go along. SQLite, which keeps no statistics here, would
 * take any index with an equality instead (its look for the next scheduled task read all of them); PostgreSQL knows.
 */
export function along(dialect: DialectName, index: string): string {
  return dialect === 'sqlite' ? `indexed by ${index}` : '';
}

/** A condition in SQL with the values of its placeholders. */
export interface Condition {
  sql: string;
  values: unknown[];
}

/** Whether a text column holds `term`, letter by letter. No index is asked. */
export function contains(dialect: DialectName, column: string, term: string): Condition {
  return { sql: `${dialect === 'sqlite' ? 'instr' : 'strpos'}(${column}, ?) > 0`, values: [term] };
}

/**
 * The rows of `users` whose search key holds `term` of three characters or more, by the trigram index. FTS5 is a table
 * of its own, and gives ids in order: with `page` (a condition on the id, its order and a limit) it stops after those
 * of one page instead of collecting a million. PostgreSQL's planner does that by itself; of an address it is asked for
 * the part before the domain only, because the trigrams of a domain are those of half the directory (78 ms instead of 4).
 */
export function matchesSearch(dialect: DialectName, term: string, page?: Condition): Condition {
  if (dialect === 'postgresql') {
    const selective = /^.{2,}@/su.exec(term)?.[0] ?? term;
    const pattern = `%${selective.replace(/[\\%_]/g, '\\$&')}%`;
    return { sql: 'search_key like ? and strpos(search_key, ?) > 0', values: [pattern, term] };
  }
  const phrase = `"${term.replaceAll('"', '""')}"`;
  return {
    sql: `id in (select rowid as id from users_search where users_search match ? ${page?.sql ?? ''})`,
    values: [phrase, ...(page?.values ?? [])],
  };
}
