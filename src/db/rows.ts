import type { EntityClass } from '@mikro-orm/core';
import type { EntityManager } from '@mikro-orm/sql';
import { isAmong, toDate } from './dialect.ts';
import { type ColumnType, given, toGiven } from './given.ts';
import { readJson } from './json.ts';
import { dialectOf, execute } from './statement.ts';

/*
 * Rows of entities inside a transaction, many with one statement. The tables and columns are what the ORM's metadata
 * says; its unit of work is not asked: for a patch its find and flush cost 230 µs where this takes 110.
 *
 * The rows go in one value, as JSON, so that the text of the statement is the same for any many. A statement for each
 * row would be as quick on SQLite, but FTS5 writes its index out at each: 52 µs a row where this takes 30.
 */

/** The ids of the rows whose `property` has one of these values, by value. */
export async function findIds(
  em: EntityManager,
  entity: EntityClass<object>,
  property: string,
  values: readonly (string | number)[],
): Promise<Map<string, number>> {
  const { name, columnOf } = tableOf(em, entity);
  const { column, type } = columnOf(property);
  const among = isAmong(dialectOf(em), column, type);
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
  const dialect = dialectOf(em);
  const lock = dialect === 'sqlite' ? '' : `order by id for update ${mayWait ? '' : 'skip locked'}`;
  const selected = columns.map(({ column, type }) =>
    type === 'json' ? `cast(${column} as text) as ${column}` : column,
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
export async function insertRows(
  em: EntityManager,
  entity: EntityClass<object>,
  unique: string,
  rows: readonly object[],
): Promise<Map<string, number>> {
  const { name, columnOf } = tableOf(em, entity);
  const columns = Object.keys(rows[0] ?? {}).map(columnOf);
  const key = columnOf(unique).column;
  const names = columns.map(({ column }) => column);
  // SQLite would read `on conflict` as the join's `on` without a `where`.
  const inserted = await execute<IdOf>(
    em,
    `insert into ${name} (${names.join(', ')})
     select ${names.map((column) => `given.${column}`).join(', ')} from ${givenRows(em, columns)} where true
     on conflict (${key}) do nothing returning id, ${key} as value`,
    [toJson(em, columns, rows)],
  );
  return new Map(inserted.map((row) => [String(row.value), row.id]));
}

/**
 * Writes rows that are there, and of all of them the columns in which one differs from what it `was`: SQLite makes the
 * entry of an index anew for each column that is named, whether or not it changes.
 */
export async function updateRows(
  em: EntityManager,
  entity: EntityClass<object>,
  rows: readonly { row: object; was: object }[],
): Promise<void> {
  const { name, columns, columnOf } = tableOf(em, entity);
  const changed = columns.filter(({ property }) =>
    rows.some(({ row, was }) => Reflect.get(row, property) !== Reflect.get(was, property)),
  );
  if (changed.length === 0) return;
  const all = [columnOf('id'), ...changed];
  const now = rows.map(({ row }) => row);
  await execute(
    em,
    `update ${name} set ${changed.map(({ column }) => `${column} = given.${column}`).join(', ')}
     from ${givenRows(em, all)} where ${name}.id = given.id`,
    [toJson(em, all, now)],
  );
}

export async function deleteRows(
  em: EntityManager,
  entity: EntityClass<object>,
  ids: readonly number[],
): Promise<void> {
  const among = isAmong(dialectOf(em), 'id');
  await execute(em, `delete from ${tableOf(em, entity).name} where ${among}`, [ids]);
}

interface IdOf {
  id: number;
  value: unknown;
}

interface Column {
  property: string;
  column: string;
  type: ColumnType;
}

function givenRows(em: EntityManager, columns: readonly Column[]): string {
  return given(dialectOf(em), Object.fromEntries(columns.map(({ column, type }) => [column, type])));
}

function toJson(em: EntityManager, columns: readonly Column[], rows: readonly object[]): string {
  const dialect = dialectOf(em);
  const objects = rows.map((row) => {
    const object: Record<string, unknown> = {};
    for (const { property, column } of columns) {
      const value: unknown = Reflect.get(row, property);
      object[column] = value instanceof Date ? toGiven(dialect, value) : value;
    }
    return object;
  });
  return JSON.stringify(objects);
}

function fromDatabase({ type }: Column, value: unknown): unknown {
  if (value === null) return value;
  if (type === 'json') return readJson(String(value));
  return type === 'time' ? toDate(value) : value;
}

interface Table {
  name: string;
  columns: readonly Column[];
  columnOf(property: string): Column;
}

const tables = new WeakMap<object, Table>();

/** What the ORM knows of an entity's table. */
function tableOf(em: EntityManager, entity: EntityClass<object>): Table {
  const meta = em.getMetadata(entity);
  const known = tables.get(meta);
  if (known !== undefined) return known;
  const columns: Column[] = meta.props.map(
    ({ name, fieldNames: [column = ''], columnTypes: [type = ''] }) => ({
      property: name,
      column,
      type: typeOf(type),
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

/** The types that entities here have, as the two databases call them. */
function typeOf(columnType: string): ColumnType {
  if (columnType === 'text' || columnType === 'json') return columnType;
  if (columnType === 'int' || columnType === 'integer') return 'int';
  if (/^(datetime|timestamptz)/.test(columnType)) return 'time';
  throw new Error(`a column of type ${columnType} is not known here`);
}
