import type { EntityClass, EntityKey } from '@mikro-orm/core';
import { type EntityManager, SqlitePlatform } from '@mikro-orm/sql';
import type { DialectName } from './url.ts';

/*
 * What the two databases say differently in plain queries.
 */

/** Dates come back as milliseconds since 1970 on SQLite and as text with an offset on PostgreSQL. */
export function toDate(value: unknown): Date {
  return new Date(value as number | string);
}

/** Rows whose `column` is one of the numbers in one value, an array: the text of the query is the same for any many. */
export function isAmong(dialect: DialectName, column: string): string {
  return `${column} ${dialect === 'sqlite' ? 'in (select value from json_each(?))' : '= any(?::int[])'}`;
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

export function isSqlite(em: EntityManager): boolean {
  return em.getPlatform() instanceof SqlitePlatform;
}

/** The ids of the rows whose `property` has one of these values, by value. A plain query: no entity is built. */
export async function findIds<T extends object>(
  em: EntityManager,
  entity: EntityClass<T>,
  property: keyof T & string,
  values: readonly string[],
): Promise<Map<string, number>> {
  const { table, columnOf } = tableOf(em, entity);
  const column = columnOf(property);
  const rows = await em.execute<IdOf[]>(
    `select id, ${column} as value from ${table} where ${column} in (${values.map(() => '?').join(', ')})`,
    [...values],
  );
  return new Map(rows.map((row) => [String(row.value), row.id]));
}

/**
 * Inserts rows with one statement and gives their ids by their value of `unique`. A row whose value is taken is left
 * out and costs the others nothing; a flush would fail for all. It also needs no look-up before and no entity after.
 */
export async function insertRows<T extends object>(
  em: EntityManager,
  entity: EntityClass<T>,
  unique: keyof T & string,
  rows: readonly object[],
): Promise<Map<string, number>> {
  const { table, columnOf } = tableOf(em, entity);
  const names = Object.keys(rows[0] ?? {});
  const placeholders = `(${names.map(() => '?').join(', ')})`;
  const values = rows.flatMap((row) =>
    names.map((name) => toParameter((row as Record<string, unknown>)[name])),
  );
  const inserted = await em.execute<IdOf[]>(
    `insert into ${table} (${names.map(columnOf).join(', ')}) values ${rows.map(() => placeholders).join(', ')}
     on conflict (${columnOf(unique)}) do nothing returning id, ${columnOf(unique)} as value`,
    values,
  );
  return new Map(inserted.map((row) => [String(row.value), row.id]));
}

interface IdOf {
  id: number;
  value: unknown;
}

function tableOf<T extends object>(em: EntityManager, entity: EntityClass<T>) {
  const { tableName: table, properties } = em.getMetadata(entity);
  return { table, columnOf: (name: string) => properties[name as EntityKey<T>].fieldNames[0] };
}

function toParameter(value: unknown): unknown {
  return typeof value === 'object' && value !== null && !(value instanceof Date)
    ? JSON.stringify(value)
    : value;
}
