import type { EntityManager } from '@mikro-orm/sql';
import { StartError } from '../errors.ts';
import type { Orm } from './orm.ts';
import type { SqliteConnection } from './sqlite-connection.ts';
import type { SqliteDialect } from './sqlite-dialect.ts';

/**
 * `synchronous=FULL`: an acknowledged write survives a power cut (with WAL's default, NORMAL, a power-loss replay lost
 * rows at 260 of 300 cut points). `secure_delete`: what is deleted is overwritten. `trusted_schema=OFF`: a prepared
 * database file cannot run functions. `journal_size_limit` (bytes) gives space back after a burst.
 */
const PRAGMAS = {
  journal_mode: 'wal',
  synchronous: 2,
  foreign_keys: 1,
  busy_timeout: 100,
  journal_size_limit: 67_108_864,
  trusted_schema: 0,
  secure_delete: 1,
} as const;

/**
 * Sets every pragma and reads each back: a build or a file system that does not honour one stops the start.
 * An in-memory database has no journal to write ahead of.
 * @throws {StartError} naming the pragma, or saying that the file is no database
 */
export async function configureSqlite(orm: Orm, path: string): Promise<void> {
  const connection = sqliteConnection(orm.em);
  for (const [pragma, wanted] of Object.entries(PRAGMAS)) {
    if (pragma === 'journal_mode' && path === ':memory:') continue;
    await connection.run(`pragma ${pragma} = ${wanted}`);
    const { rows } = await connection.run(`pragma ${pragma}`);
    const found = Object.values(rows[0] ?? {})[0];
    if (found !== wanted) {
      throw new StartError(`SQLite did not take ${pragma}=${wanted} for ${path}: it says ${found}`);
    }
  }
}

/**
 * SQLite ignores `foreign_keys` inside a transaction, and a migration that rebuilds a table would let
 * `on delete cascade` empty its children: they are off around the migrations, and checked afterwards.
 */
export async function withoutForeignKeys<T>(orm: Orm, work: () => Promise<T>): Promise<T> {
  const connection = sqliteConnection(orm.em);
  await connection.run('pragma foreign_keys = off');
  try {
    const result = await work();
    const { rows: broken } = await connection.run('pragma foreign_key_check');
    if (broken.length > 0)
      throw new StartError(`a migration left ${broken.length} rows without what they refer to`);
    return result;
  } finally {
    await connection.run('pragma foreign_keys = on');
  }
}

/** Past the queue before it: what is run while a transaction is on its way is in that transaction. */
export function sqliteConnection(em: EntityManager): SqliteConnection {
  return (em.config.get('driverOptions') as () => SqliteDialect)().connection;
}
