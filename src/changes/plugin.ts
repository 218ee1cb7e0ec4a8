import DataLoader from 'dataloader';
import type { FastifyInstance } from 'fastify';
import plugin from 'fastify-plugin';
import { Feed } from './feed.ts';
import { measureFeed } from './gauges.ts';
import { readExtent } from './log.ts';

declare module 'fastify' {
  interface FastifyInstance {
    feed: Feed;
    /**
     * The position of the log now: all changes up to it can be read, on any replica. To be asked for before what it is
     * to stand for is read. All who ask in one turn share a query.
     */
    position(): Promise<number>;
  }
}

export default plugin(
  async (app: FastifyInstance) => {
    const heads = new DataLoader(
      async (asked: readonly number[]) => {
        const { head } = await readExtent(app.reader);
        return asked.map(() => head);
      },
      { cache: false, batchScheduleFn: (callback) => app.turn.lookup(callback) },
    );
    const feed = new Feed(app.reader, app.bell, app.log);
    app.decorate('feed', feed);
    measureFeed(app);
    app.decorate('position', () => heads.load(0));
    app.addHook('onClose', () => feed.stop());
  },
  { name: 'changes', dependencies: ['db'] },
);
