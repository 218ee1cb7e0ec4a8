import type { PostgreSqlConnection } from '@mikro-orm/postgresql';
import type { SqliteConnection } from '@mikro-orm/sqlite';
import type { Orm } from './orm.ts';
import type { DialectName } from './url.ts';

/**
 * Removes from the database's files what has been deleted from these tables, as far as the database can. To be called
 * outside of any transaction.
 *
 * SQLite overwrites what is deleted (`secure_delete`, and the same in the search index); what is left is its journal,
 * which is written back and cut off here. PostgreSQL frees the space of dead rows, and overwrites it when it next needs
 * it; its own journal (WAL), archives and backups keep what they have for as long as they are kept.
 */
export async function scrubDeleted(orm: Orm, dialect: DialectName, tables: readonly string[]): Promise<void> {
  if (dialect === 'sqlite') {
    const connection = orm.em.getConnection() as unknown as SqliteConnection;
    (await connection.getNativeClient()).pragma('wal_checkpoint(truncate)');
    return;
  }
  const connection = orm.em.getConnection() as unknown as PostgreSqlConnection;
  const client = await (await connection.getNativeClient()).connect();
  try {
    // A large table takes longer than any request may.
    await client.query('set statement_timeout = 0');
    await client.query(`vacuum ${tables.join(', ')}`);
  } finally {
    client.release(true);
  }
}
