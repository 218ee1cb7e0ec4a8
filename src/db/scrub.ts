import type { Orm } from './orm.ts';
import { createClient } from './postgresql.ts';
import { dialectOf } from './url.ts';

/**
 * Removes from the database's files what has been deleted from these tables, as far as the database can. To be called
 * outside of any transaction.
 *
 * SQLite overwrites what is deleted (`secure_delete`, and the same in the search index); what is left is its journal,
 * which is written back and cut off here. PostgreSQL frees the space of dead rows, and overwrites it when it next needs
 * it; its own journal (WAL), archives and backups keep what they have for as long as they are kept.
 * @throws when another process reads the file at this moment (SQLite), which keeps the journal
 */
export async function scrubDeleted(
  orm: Orm,
  databaseUrl: string,
  tables: readonly string[],
  signal: AbortSignal,
): Promise<void> {
  if (dialectOf(databaseUrl) === 'postgresql') return vacuum(databaseUrl, tables, signal);
  // In the ORM's queue: between the statements of a write the table is locked for it (44 of 60 beside an import).
  const [{ busy }] = await orm.em.fork().execute<[{ busy: number }]>('pragma wal_checkpoint(truncate)');
  if (busy !== 0)
    throw new Error('another process reads the database file, so its journal cannot be cut off');
}

/** On a connection of its own, without time limits: on a large table it takes minutes, and it may have to wait for another. */
async function vacuum(databaseUrl: string, tables: readonly string[], signal: AbortSignal): Promise<void> {
  const client = await createClient(databaseUrl);
  client.on('error', () => {}); // the query fails with it
  const end = () => void client.end().catch(() => {});
  signal.addEventListener('abort', end, { once: true });
  try {
    await client.connect();
    await client.query(`vacuum ${tables.join(', ')}`);
  } finally {
    signal.removeEventListener('abort', end);
    end();
  }
}
