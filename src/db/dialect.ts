import { type EntityManager, SqlitePlatform } from '@mikro-orm/sql';

/*
 * What the two databases say differently in plain queries.
 */

/** Dates come back as milliseconds since 1970 on SQLite and as text with an offset on PostgreSQL. */
export function toDate(value: unknown): Date {
  return new Date(value as number | string);
}

/** JSON comes back as text on SQLite, and already parsed by PostgreSQL's driver. */
export function toJson<T>(value: unknown): T {
  return (typeof value === 'string' ? JSON.parse(value) : value) as T;
}

/** A condition in SQL with the values of its placeholders. */
export interface Condition {
  sql: string;
  values: unknown[];
}

/** Whether a text column holds `term`, letter by letter. No index is asked. */
export function contains(em: EntityManager, column: string, term: string): Condition {
  return { sql: `${isSqlite(em) ? 'instr' : 'strpos'}(${column}, ?) > 0`, values: [term] };
}

/**
 * The rows of `users` whose search key holds `term` of three characters or more, by the trigram index. FTS5 is a table
 * of its own, and gives ids in order: with `page` (a condition on the id, its order and a limit) it stops after those
 * of one page instead of collecting a million. PostgreSQL's planner does that by itself.
 */
export function matchesSearch(em: EntityManager, term: string, page?: Condition): Condition {
  if (!isSqlite(em)) return { sql: 'search_key like ?', values: [`%${term.replace(/[\\%_]/g, '\\$&')}%`] };
  const phrase = `"${term.replaceAll('"', '""')}"`;
  return {
    sql: `id in (select rowid as id from users_search where users_search match ? ${page?.sql ?? ''})`,
    values: [phrase, ...(page?.values ?? [])],
  };
}

function isSqlite(em: EntityManager): boolean {
  return em.getPlatform() instanceof SqlitePlatform;
}
