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
 * Look-ups that arrive in the same turn of the event loop are answered by one query. Nothing is cached: the query is
 * made after the last of them has arrived, so nobody sees a state older than their own request.
 */
export default plugin(
  async (app: FastifyInstance) => {
    const lookups = new DataLoader((ids: readonly number[]) => findUsers(app.reader, ids), {
      cache: false,
      batchScheduleFn: (callback) => setImmediate(callback),
      maxBatchSize: 500,
    });
    app.decorate('getUser', async (id) => {
      const user = await lookups.load(id);
      if (user === undefined) throw userNotFound(id);
      return user;
    });
  },
  { name: 'users', dependencies: ['db'] },
);
