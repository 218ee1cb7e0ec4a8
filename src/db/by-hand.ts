import type { AnyEntity, EntityClass } from '@mikro-orm/core';
import { openMigratedDatabase } from './database.ts';
import { openReader, type Reader } from './reader.ts';
import type { Tx } from './tx.ts';
import { WriteQueue } from './writes.ts';

interface ByHand {
  reader: Reader;
  write<T>(work: (tx: Tx) => Promise<T>): Promise<T>;
}

/**
 * Opens the database for one piece of work without a service, and closes it.
 * @throws {StartError} when it cannot be opened: on SQLite also while a service has it
 */
export async function withDatabase<T>(
  databaseUrl: string,
  entities: EntityClass<AnyEntity>[],
  work: (database: ByHand) => Promise<T>,
): Promise<T> {
  const { orm, close } = await openMigratedDatabase({ databaseUrl, entities });
  const reader = await openReader(orm, databaseUrl);
  const writes = new WriteQueue(orm, 1);
  try {
    return await work({ reader, write: (one) => writes.run(one) });
  } finally {
    reader.close();
    await close();
  }
}
