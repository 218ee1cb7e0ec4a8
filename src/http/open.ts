import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import plugin from 'fastify-plugin';

declare module 'fastify' {
  interface FastifyInstance {
    /** Aborted when the client has left or the service begins to stop: an answer that waits is then not worth waiting for. */
    whileOpen(reply: FastifyReply): AbortSignal;
    /** The answers that are open in this way. `close` does to one what the end of the service would. */
    openAnswers(): Iterable<{ request: FastifyRequest; close(): void }>;
  }
}

/** An open answer would hold up `app.close()` for ever, so each of them is told in `preClose`. */
export default plugin(
  async (app: FastifyInstance) => {
    const open = new Map<AbortController, FastifyRequest>();
    let closing = false;
    app.decorate('whileOpen', (reply) => {
      const controller = new AbortController();
      if (closing || reply.raw.destroyed) controller.abort();
      open.set(controller, reply.request);
      reply.raw.once('close', () => {
        open.delete(controller);
        controller.abort();
      });
      return controller.signal;
    });
    app.decorate('openAnswers', function* () {
      for (const [controller, request] of open) yield { request, close: () => controller.abort() };
    });
    app.addHook('preClose', async () => {
      closing = true;
      for (const controller of open.keys()) controller.abort();
    });
  },
  { name: 'open' },
);
