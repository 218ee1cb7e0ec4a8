import type { AnyEntity, EntityClass } from '@mikro-orm/core';
import type { EntityManager } from '@mikro-orm/sql';
import type { FastifyInstance } from 'fastify';
import plugin from 'fastify-plugin';
import { openMigratedDatabase } from './database.ts';
import { type DialectName, dialectOf, type Orm } from './orm.ts';
import { type Tx, WriteQueue } from './writes.ts';

declare module 'fastify' {
  interface FastifyInstance {
    orm: Orm;
    dialect: DialectName;
    /** The one door for writes: runs `work` in a transaction, perhaps with others', and settles after the commit. */
    write<T>(work: (tx: Tx) => Promise<T>): Promise<T>;
  }
  interface FastifyRequest {
    /** This request's own entity manager, made when it is first asked for. */
    readonly em: EntityManager;
  }
}

interface Options {
  databaseUrl: string;
  poolMax: number;
  entities: EntityClass<AnyEntity>[];
}

/** Opens and migrates the database once, at startup, and closes it when all else has ended. */
export default plugin(
  async (app: FastifyInstance, { databaseUrl, poolMax, entities }: Options) => {
    const database = await openMigratedDatabase({ databaseUrl, poolMax, entities, logger: app.log });
    const { orm } = database;
    const dialect = dialectOf(databaseUrl);
    const writes = new WriteQueue(() => orm.em.fork(), dialect === 'sqlite' ? 1 : WRITERS_AT_ONCE);
    const forks = new WeakMap<object, EntityManager>();

    app.decorate('orm', orm);
    app.decorate('dialect', dialect);
    app.decorate('write', (work) => writes.run(work));
    app.decorateRequest('em', {
      getter() {
        let em = forks.get(this);
        if (em === undefined) {
          em = orm.em.fork();
          forks.set(this, em);
        }
        return em;
      },
    });
    app.addHook('onClose', () => database.close());
  },
  { name: 'db' },
);

/** On PostgreSQL a transaction that waits for a row another replica holds must not stop all writes of this one. */
const WRITERS_AT_ONCE = 1;
