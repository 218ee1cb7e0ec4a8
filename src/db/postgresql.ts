import type { PostgreSqlConnection } from '@mikro-orm/postgresql';
import type { Client, ClientConfig } from 'pg';
import type { Orm } from './orm.ts';

/** The pool that the ORM's connections come from. */
export function poolOf(orm: Orm) {
  return (orm.em.getConnection() as unknown as PostgreSqlConnection).getNativeClient();
}

/** A connection beside the pool, to be opened. Without a listener of errors, one of the connection ends the process. */
export async function createClient(databaseUrl: string, limits: ClientConfig = {}): Promise<Client> {
  const { default: pg } = await import('pg');
  return new pg.Client({
    connectionString: databaseUrl,
    keepAlive: true,
    application_name: 'muster',
    ...limits,
  });
}

/** Any number that nothing else in this database locks: the letters "muster" as a 48-bit integer. */
const MIGRATION_LOCK = 0x6d7573746572n;

/**
 * Runs `work` while holding a session lock that all replicas share. The migrator itself takes none. The lock lives on
 * a connection of its own and ends with it, so a replica that dies while migrating blocks nobody.
 */
export async function withPostgresqlLock<T>(orm: Orm, work: () => Promise<T>): Promise<T> {
  const client = await (await poolOf(orm)).connect();
  try {
    await client.query('select pg_advisory_lock($1)', [MIGRATION_LOCK]);
    return await work();
  } finally {
    client.release(true);
  }
}
