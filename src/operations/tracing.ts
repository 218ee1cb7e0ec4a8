import type { FastifyInstance } from 'fastify';
import plugin from 'fastify-plugin';
import type { Sampling, Tracing } from './spans.ts';

declare module 'fastify' {
  interface FastifyInstance {
    /** Undefined unless traces are asked for: then nothing of it is loaded, and nobody calls anything. */
    tracing: Tracing | undefined;
  }
}

/** What an end of the process may wait for a collector that does not answer. */
const LONGEST_FLUSH_MS = 1000;

/**
 * Spans of requests, of the tasks that they enqueue, and of the webhooks that those send. It stands before all that
 * refuses a request, and writes.
 */
export default plugin(
  async (app: FastifyInstance, options: { settings: Sampling | undefined; shutdownTimeoutMs: number }) => {
    const { settings, shutdownTimeoutMs } = options;
    if (settings === undefined) {
      app.decorate('tracing', undefined);
      return;
    }
    const { Tracing } = await import('./spans.ts');
    const tracing = new Tracing(settings, app.log);
    app.decorate('tracing', tracing);
    app.addHook('onRequest', (request, reply, done) => {
      // Somebody asks for these every few seconds, for ever.
      if (request.routeOptions.config.essential !== true) tracing.serve(request, reply);
      done();
    });
    // Not in `onRequest`: what follows the reading of a body is called by the socket.
    app.addHook('preHandler', (request, _reply, done) => tracing.within(request, done));
    app.addHook('onClose', () => tracing.close(Math.min(LONGEST_FLUSH_MS, shutdownTimeoutMs * 0.1)));
  },
  { name: 'tracing' },
);
