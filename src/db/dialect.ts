import type { DialectName } from './url.ts';

/*
 * What the two databases say differently in plain queries.
 */

/** Dates come back as milliseconds since 1970 on SQLite and as text with an offset on PostgreSQL. */
export function toDate(value: unknown): Date {
  return new Date(value as number | string);
}

/**
 * Rows whose `column` is one of those in one value, an array: the text of the query is the same for any many. `type` is
 * the column's on PostgreSQL.
 */
export function isAmong(dialect: DialectName, column: string, type = 'int'): string {
  return `${column} ${dialect === 'sqlite' ? 'in (select value from json_each(?))' : `= any(?::${type}[])`}`;
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
 * of one page instead of collecting a million. PostgreSQL's planner does that by itself.
 */
export function matchesSearch(dialect: DialectName, term: string, page?: Condition): Condition {
  if (dialect === 'postgresql')
    return { sql: 'search_key like ?', values: [`%${term.replace(/[\\%_]/g, '\\$&')}%`] };
  const phrase = `"${term.replaceAll('"', '""')}"`;
  return {
    sql: `id in (select rowid as id from users_search where users_search match ? ${page?.sql ?? ''})`,
    values: [phrase, ...(page?.values ?? [])],
  };
}
