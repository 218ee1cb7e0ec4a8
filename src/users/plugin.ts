import DataLoader from 'dataloader';
import type { FastifyInstance } from 'fastify';
import plugin from 'fastify-plugin';
import type { UserRow } from './user-json.ts';
import { findUsers, userNotFound } from './users.ts';

declare module 'fastify' {
  interface FastifyInstance {
    /**
     * The one door for look-ups of a single user.
     * @throws {NotFound} `user-not-found`
     */
    getUser(id: number): Promise<UserRow>;
  }
}

/**
 * Look-ups that arrive in the same turn of the event loop are answered by one query, and so are those that arrive while
 * `QUERIES_AT_ONCE` are on their way to PostgreSQL. Nothing is cached: the query is made after the last of them has
 * arrived, so nobody sees a state older than their own request.
 */
export default plugin(
  async (app: FastifyInstance) => {
    let onTheirWay = 0;
    let next: (() => void) | undefined;
    const lookups = new DataLoader(
      async (ids: readonly number[]) => {
        onTheirWay++;
        try {
          return await findUsers(app.reader, ids);
        } finally {
          onTheirWay--;
          const run = next;
          next = undefined;
          run?.();
        }
      },
      {
        cache: false,
        batchScheduleFn(callback) {
          // The check phase: every request of this turn has been read.
          if (onTheirWay < QUERIES_AT_ONCE) setImmediate(callback);
          else next = callback;
        },
      },
    );
    app.decorate('getUser', async (id) => {
      const user = await lookups.load(id);
      if (user === undefined) throw userNotFound(id);
      return user;
    });
  },
  { name: 'users', dependencies: ['db'] },
);

/** Enough to keep the database at work while answers are written; more would only make the queries smaller. */
const QUERIES_AT_ONCE = 3;
