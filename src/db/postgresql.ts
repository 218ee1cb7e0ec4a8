import type { PostgreSqlConnection } from '@mikro-orm/postgresql';
import type { Orm } from './orm.ts';

/** Any number that nothing else in this database locks: the letters "muster" as a 48-bit integer. */
const MIGRATION_LOCK = 0x6d7573746572n;

/**
 * Runs `work` while holding a session lock that all replicas share. The migrator itself takes none. The lock lives on
 * a connection of its own and ends with it, so a replica that dies while migrating blocks nobody.
 */
export async function withPostgresqlLock<T>(orm: Orm, work: () => Promise<T>): Promise<T> {
  const connection = orm.em.getConnection() as unknown as PostgreSqlConnection;
  const pool = await connection.getNativeClient();
  const client = await pool.connect();
  try {
    await client.query('select pg_advisory_lock($1)', [MIGRATION_LOCK]);
    return await work();
  } finally {
    client.release(true);
  }
}
