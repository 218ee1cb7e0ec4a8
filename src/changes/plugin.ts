import { setImmediate as turn } from 'node:timers/promises';
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
    let asked: Promise<Extent> | undefined;
    const logExtent = () => {
      asked ??= turn().then(() => {
        asked = undefined;
        return readExtent(app.reader);
      });
      return asked;
    };
    const feed = new Feed(app.reader, app.bell, app.log);
    app.decorate('feed', feed);
    measureFeed(app);
    app.decorate('logExtent', logExtent);
    app.decorate('position', async () => (await logExtent()).head);
    app.addHook('onClose', () => feed.stop());
  },
  { name: 'changes', dependencies: ['db'] },
);
