import { LockMode, UniqueConstraintViolationException } from '@mikro-orm/core';
import type { SqlEntityManager } from '@mikro-orm/sql';
import { keysOf, mergePatch, type Store } from '../api.ts';
import { environment, requireDurable, SQLITE_PRAGMAS } from '../environment.ts';
import { serve } from '../fastify-app.ts';
import { User } from './user.entity.ts';

/**
 * MikroORM as its guide shows: a fork for each request, find or create, flush. (Its own version property would need a
 * default in the table, so a patch locks its row, as the page on transactions has it.)
 */
const fork = environment.dialect === 'sqlite' ? await openSqlite() : await openPostgresql();

async function openSqlite(): Promise<() => SqlEntityManager> {
  const { MikroORM: Orm } = await import('@mikro-orm/sqlite');
  const orm = await Orm.init({ entities: [User], dbName: environment.sqlitePath });
  const connection = orm.em.getConnection();
  for (const pragma of SQLITE_PRAGMAS) await connection.execute(`pragma ${pragma}`);
  const read = async (name: string) =>
    Object.values((await connection.execute<Record<string, unknown>[]>(`pragma ${name}`))[0] ?? {})[0];
  requireDurable(await read('journal_mode'), await read('synchronous'));
  return () => orm.em.fork();
}

async function openPostgresql(): Promise<() => SqlEntityManager> {
  const { MikroORM: Orm } = await import('@mikro-orm/postgresql');
  const orm = await Orm.init({ entities: [User], clientUrl: environment.databaseUrl });
  return () => orm.em.fork();
}

const store: Store = {
  find: async (id) => (await fork().findOne(User, id)) ?? undefined,
  list: (limit, after) => fork().find(User, { id: { $gt: after } }, { orderBy: { id: 'asc' }, limit }),
  async create({ name, email, attributes = {} }) {
    const em = fork();
    const now = new Date();
    const user = em.create(User, {
      name,
      email,
      ...keysOf(name, email),
      attributes,
      version: 1,
      createdAt: now,
      updatedAt: now,
    });
    try {
      await em.persist(user).flush();
      return user;
    } catch (error) {
      if (error instanceof UniqueConstraintViolationException) return undefined;
      throw error;
    }
  },
  patch: (id, attributes) =>
    fork().transactional(async (em) => {
      const user = await em.findOne(User, id, { lockMode: LockMode.PESSIMISTIC_WRITE });
      if (user === null) return undefined;
      user.attributes = mergePatch(user.attributes, attributes);
      user.version++;
      user.updatedAt = new Date();
      return user;
    }),
};

await serve(store);
