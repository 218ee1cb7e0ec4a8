import type { EntityClass, EntityKey } from '@mikro-orm/core';
import type { EntityManager } from '@mikro-orm/sql';

/**
 * Inserts rows with one statement and gives their ids by their value of `unique`. A row whose value is taken is left
 * out and costs the others nothing; a flush would fail for all. It also needs no look-up before and no entity after.
 */
export async function insertRows<T extends object>(
  em: EntityManager,
  entity: EntityClass<T>,
  unique: keyof T & string,
  rows: readonly object[],
): Promise<Map<unknown, number>> {
  const { tableName, properties } = em.getMetadata(entity);
  const names = Object.keys(rows[0] ?? {}) as EntityKey<T>[];
  const columns = names.map((name) => properties[name].fieldNames[0]);
  const uniqueColumn = properties[unique as EntityKey<T>].fieldNames[0];
  const placeholders = `(${names.map(() => '?').join(', ')})`;
  const values = rows.flatMap((row) =>
    names.map((name) => toParameter((row as Record<string, unknown>)[name])),
  );
  const inserted = await em.execute<{ id: number; unique_value: unknown }[]>(
    `insert into ${tableName} (${columns.join(', ')}) values ${rows.map(() => placeholders).join(', ')}
     on conflict (${uniqueColumn}) do nothing returning id, ${uniqueColumn} as unique_value`,
    values,
  );
  return new Map(inserted.map((row) => [row.unique_value, row.id]));
}

function toParameter(value: unknown): unknown {
  return typeof value === 'object' && value !== null && !(value instanceof Date)
    ? JSON.stringify(value)
    : value;
}
