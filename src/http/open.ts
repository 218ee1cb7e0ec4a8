import type { FastifyInstance, FastifyReply } from 'fastify';
import plugin from 'fastify-plugin';

declare module 'fastify' {
  interface FastifyInstance {
    /** Aborted when the client has left or the service begins to stop: an answer that waits is then not worth waiting for. */
    whileOpen(reply: FastifyReply): AbortSignal;
  }
}

/** An open answer would hold up `app.close()` for ever, so each of them is told in `preClose`. */
export default plugin(
  async (app: FastifyInstance) => {
    const open = new Set<AbortController>();
    let closing = false;
    app.decorate('whileOpen', (reply) => {
      const controller = new AbortController();
      if (closing || reply.raw.destroyed) controller.abort();
      open.add(controller);
      reply.raw.once('close', () => {
        open.delete(controller);
        controller.abort();
      });
      return controller.signal;
    });
    app.addHook('preClose', async () => {
      closing = true;
      for (const controller of open) controller.abort();
    });
  },
  { name: 'open' },
);
