import type { SqlEntityManager } from '@mikro-orm/sql';
import { environment, requireDurable, SQLITE_PRAGMAS } from '../environment.ts';
import { Change } from './change.entity.ts';
import { User } from './user.entity.ts';

/** Gives what makes an entity manager for each request. */
export function openMikroOrm(): Promise<() => SqlEntityManager> {
  return environment.dialect === 'sqlite' ? openSqlite() : openPostgresql();
}

async function openSqlite(): Promise<() => SqlEntityManager> {
  const { MikroORM: Orm } = await import('@mikro-orm/sqlite');
  const orm = await Orm.init({ entities: [User, Change], dbName: environment.sqlitePath });
  const connection = orm.em.getConnection();
  for (const pragma of SQLITE_PRAGMAS) await connection.execute(`pragma ${pragma}`);
  const read = async (name: string) =>
    Object.values((await connection.execute<Record<string, unknown>[]>(`pragma ${name}`))[0] ?? {})[0];
  requireDurable(await read('journal_mode'), await read('synchronous'));
  return () => orm.em.fork();
}

async function openPostgresql(): Promise<() => SqlEntityManager> {
  const { MikroORM: Orm } = await import('@mikro-orm/postgresql');
  const orm = await Orm.init({ entities: [User, Change], clientUrl: environment.databaseUrl });
  return () => orm.em.fork();
}
