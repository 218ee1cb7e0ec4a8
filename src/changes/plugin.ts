import DataLoader from 'dataloader';
import type { FastifyInstance } from 'fastify';
import plugin from 'fastify-plugin';
import { nameEpoch } from './epoch.ts';
import { Feed } from './feed.ts';
import { measureFeed } from './gauges.ts';
import { type Extent, readExtent } from './log.ts';

declare module 'fastify' {
  interface FastifyInstance {
    feed: Feed;
    /**
     * The position of the log now: all changes up to it can be read, on any replica. To be asked for before what it is
     * to stand for is read. All who ask in one turn share a query.
     */
    position(): Promise<number>;
    /** The same with all that is known of the log. */
    logExtent(): Promise<Extent>;
  }
}

export default plugin(
  async (app: FastifyInstance) => {
    await nameEpoch(app.reader, app.write);
    const extents = new DataLoader(
      async (asked: readonly number[]) => {
        const extent = await readExtent(app.reader);
        return asked.map(() => extent);
      },
      { cache: false, batchScheduleFn: (callback) => void setImmediate(callback) },
    );
    const feed = new Feed(app.reader, app.bell, app.log);
    app.decorate('feed', feed);
    measureFeed(app);
    app.decorate('logExtent', () => extents.load(0));
    app.decorate('position', async () => (await extents.load(0)).head);
    app.addHook('onClose', () => feed.stop());
  },
  { name: 'changes', dependencies: ['db'] },
);
