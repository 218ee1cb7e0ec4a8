import type { AnyEntity, EntityClass } from '@mikro-orm/core';
import type { EntityManager } from '@mikro-orm/sql';
import type { FastifyInstance } from 'fastify';
import plugin from 'fastify-plugin';
import { Bell } from './bell.ts';
import { openMigratedDatabase } from './database.ts';
import { isDamage } from './failures.ts';
import { measureDatabase } from './gauges.ts';
import { checkHealth } from './health.ts';
import type { Orm } from './orm.ts';
import { openProbe, type Probe } from './probe.ts';
import { openReader, type Reader } from './reader.ts';
import type { Tx } from './tx.ts';
import { dialectOf } from './url.ts';
import { WriteQueue } from './writes.ts';

declare module 'fastify' {
  interface FastifyInstance {
    orm: Orm;
    /** Plain queries outside of any transaction. */
    reader: Reader;
    /** For those who watch: plain queries that wait for nobody. */
    probe: Probe;
    /** Rung by `tx.ring` after a commit; heard on every replica. */
    bell: Bell;
    /** How many wait before the door for writes, and for how long. */
    writeQueue: Pick<WriteQueue, 'length' | 'oldestMs' | 'isBehind'>;
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
  minFreeBytes: number;
  entities: EntityClass<AnyEntity>[];
}

/** Opens and migrates the database once, at startup, and closes it when all else has ended. */
export default plugin(
  async (app: FastifyInstance, { databaseUrl, poolMax, minFreeBytes, entities }: Options) => {
    const database = await openMigratedDatabase({ databaseUrl, poolMax, entities, logger: app.log });
    const { orm } = database;
    const bell = new Bell(databaseUrl, app.log);
    let isDamaged = false;
    const failed = (error: unknown) => {
      isDamaged ||= isDamage(error);
    };
    app.addHook('onError', async (_request, _reply, error) => failed(error));
    const parallel = dialectOf(databaseUrl) === 'sqlite' ? 1 : WRITERS_AT_ONCE;
    const writes = new WriteQueue(orm, parallel, (topic) => bell.ring(topic), failed);
    const forks = new WeakMap<object, EntityManager>();

    const reader = await openReader(orm, databaseUrl, failed);
    const probe = openProbe(orm, databaseUrl);
    checkHealth(app, { databaseUrl, probe, minFreeBytes, isDamaged: () => isDamaged });
    await measureDatabase(app, { orm, databaseUrl, writes, reader });
    app.decorate('orm', orm);
    app.decorate('reader', reader);
    app.decorate('probe', probe);
    app.decorate('bell', bell);
    app.decorate('writeQueue', writes);
    const write: FastifyInstance['write'] = (work) => writes.run(work);
    app.decorate('write', app.tracing === undefined ? write : app.tracing.write(write, bell));
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
    app.addHook('onReady', async () => bell.start());
    app.addHook('onClose', async () => {
      await bell.stop();
      reader.close();
      await probe.close();
      await database.close();
    });
  },
  { name: 'db', dependencies: ['health', 'metrics'] },
);

/** While one transaction is with PostgreSQL, the next is made here. SQLite has one connection. */
const WRITERS_AT_ONCE = 2;
