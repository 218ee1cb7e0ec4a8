import type { EntityClass } from '@mikro-orm/core';
import type { EntityManager } from '@mikro-orm/sql';
import { isAmong, toDate } from './dialect.ts';
import { execute, isSqlite } from './statement.ts';

/*
 * Rows of entities inside a transaction, many with one statement. The tables and columns are what the ORM's metadata
 * says; its unit of work is not asked: for a patch its find and flush cost 230 µs where this takes 110.
 *
 * The rows go in one value, as JSON, so that the text of the statement is the same for any many. A statement for each
 * row would be as quick on SQLite, but FTS5 writes its index out at each: 52 µs a row where this takes 30.
 */

/** A value of a column that decides whether a row may be inserted, and that finds it again. */
export type UniqueKey<T> = keyof T & string;

/** The ids of the rows whose `property` has one of these values, by value. */
export async function findIds<T extends object>(
  em: EntityManager,
  entity: EntityClass<T>,
  property: UniqueKey<T>,
  values: readonly (string | number)[],
): Promise<Map<string, number>> {
  const { name, columnOf } = tableOf(em, entity);
  const { column, type } = columnOf(property);
  const among = isAmong(isSqlite(em) ? 'sqlite' : 'postgresql', column, type);
  const rows = await execute<IdOf>(em, `select id, ${column} as value from ${name} where ${among}`, [values]);
  return new Map(rows.map((row) => [String(row.value), row.id]));
}

/** The rows with these ids, locked until the transaction ends; in the order of ids, so that no two wait for each other. */
export async function lockRows<T extends { id: number }>(
  em: EntityManager,
  entity: EntityClass<T>,
  ids: readonly number[],
  mayWait: boolean,
): Promise<T[]> {
  const { name, columns } = tableOf(em, entity);
  const dialect = isSqlite(em) ? 'sqlite' : 'postgresql';
  const lock = dialect === 'sqlite' ? '' : `order by id for update ${mayWait ? '' : 'skip locked'}`;
  const selected = columns.map(({ column, isJson }) =>
    isJson ? `cast(${column} as text) as ${column}` : column,
  );
  const rows = await execute<Record<string, unknown>>(
    em,
    `select ${selected.join(', ')} from ${name} where ${isAmong(dialect, 'id')} ${lock}`,
    [ids],
  );
  return rows.map((row) => {
    const values = columns.map((one) => [one.property, fromDatabase(one, row[one.column])]);
    return Object.fromEntries(values);
  });
}

/**
 * Inserts rows and gives their ids by their value of `unique`. A row whose value is taken is left out and costs the
 * others nothing; a flush would fail for all.
 */
export async function insertRows<T extends object>(
  em: EntityManager,
  entity: EntityClass<T>,
  unique: UniqueKey<T>,
  rows: readonly object[],
): Promise<Map<string, number>> {
  const { name, columnOf } = tableOf(em, entity);
  const given = Object.keys(rows[0] ?? {}).map(columnOf);
  const key = columnOf(unique).column;
  const names = given.map(({ column }) => column);
  // SQLite would read `on conflict` as the join's `on` without a `where`.
  const inserted = await execute<IdOf>(
    em,
    `insert into ${name} (${names.join(', ')})
     select ${names.map((column) => `given.${column}`).join(', ')} from ${givenRows(em, given)} where true
     on conflict (${key}) do nothing returning id, ${key} as value`,
    [toJson(em, given, rows)],
  );
  return new Map(inserted.map((row) => [String(row.value), row.id]));
}

/** Writes rows that are there, every column of them. */
export async function updateRows<T extends object>(
  em: EntityManager,
  entity: EntityClass<T>,
  rows: readonly object[],
): Promise<void> {
  const { name, columns, columnOf } = tableOf(em, entity);
  const id = columnOf('id');
  const changing = columns.filter(({ column }) => column !== id.column);
  await execute(
    em,
    `update ${name} set ${changing.map(({ column }) => `${column} = given.${column}`).join(', ')}
     from ${givenRows(em, columns)} where ${name}.id = given.id`,
    [toJson(em, columns, rows)],
  );
}

export async function deleteRows<T extends object>(
  em: EntityManager,
  entity: EntityClass<T>,
  ids: readonly number[],
): Promise<void> {
  const among = isAmong(isSqlite(em) ? 'sqlite' : 'postgresql', 'id');
  await execute(em, `delete from ${tableOf(em, entity).name} where ${among}`, [ids]);
}

interface IdOf {
  id: number;
  value: unknown;
}

interface Column {
  property: string;
  column: string;
  type: string;
  isJson: boolean;
  isDate: boolean;
}

/** The rows that are given as one value, with the columns' own types. `json` stays text: it is kept to the letter. */
function givenRows(em: EntityManager, columns: readonly Column[]): string {
  if (isSqlite(em)) {
    const selected = columns.map(({ column }) => `value ->> '${column}' as ${column}`);
    return `(select ${selected.join(', ')} from json_each(?)) as given`;
  }
  const types = columns.map(({ column, type, isJson }) => `${column} ${isJson ? 'text' : type}`);
  const cast = columns.map(({ column, isJson }) => (isJson ? `${column}::json as ${column}` : column));
  return `(select ${cast.join(', ')} from json_to_recordset(?::json) as r (${types.join(', ')})) as given`;
}

function toJson(em: EntityManager, columns: readonly Column[], rows: readonly object[]): string {
  const asNumber = isSqlite(em);
  const objects = rows.map((row) => {
    const object: Record<string, unknown> = {};
    for (const { property, column, isJson, isDate } of columns) {
      const value: unknown = Reflect.get(row, property);
      if (isJson && value !== undefined && value !== null) object[column] = JSON.stringify(value);
      else object[column] = isDate && asNumber && value instanceof Date ? value.getTime() : value;
    }
    return object;
  });
  return JSON.stringify(objects);
}

function fromDatabase({ isJson, isDate }: Column, value: unknown): unknown {
  if (value === null) return value;
  if (isJson) return JSON.parse(String(value));
  return isDate ? toDate(value) : value;
}

/** What the ORM knows of an entity's table. */
function tableOf<T extends object>(em: EntityManager, entity: EntityClass<T>) {
  const meta = em.getMetadata(entity);
  const known = tables.get(meta);
  if (known !== undefined) return known;
  const columns: Column[] = meta.props.map(
    ({ name, fieldNames: [column = ''], columnTypes: [type = ''] }) => ({
      property: name,
      column,
      type,
      isJson: type === 'json',
      isDate: /^(datetime|timestamptz)/.test(type),
    }),
  );
  const columnOf = (property: string) => {
    const found = columns.find((one) => one.property === property);
    if (found === undefined) throw new Error(`${meta.className} has no ${property}`);
    return found;
  };
  const table = { name: meta.tableName, columns, columnOf };
  tables.set(meta, table);
  return table;
}

const tables = new WeakMap<
  object,
  { name: string; columns: readonly Column[]; columnOf(property: string): Column }
>();
