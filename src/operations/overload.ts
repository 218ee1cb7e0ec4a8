import type { FastifyInstance } from 'fastify';
import plugin from 'fastify-plugin';
import { Unavailable } from '../errors.ts';
import { LoopDelay, WINDOW_MS } from './loop.ts';
import { Shedding } from './shedding.ts';

/** Writes come again when the oldest has waited for so long: a commit takes milliseconds, so the database is not keeping up. */
const LONGEST_QUEUE_MS = 2000;

/**
 * Sends requests away while there are more than can be served. Without it all of them wait, longer and longer, until
 * their clients have gone; with it most are served as fast as ever and the rest are told at once to come again.
 *
 * - **The event loop is late**: each request waits in the kernel before it is read. A growing share is refused.
 * - **Writes wait**: who only reads is served as before. What runs in the background is not refused: it holds leases.
 */
export default plugin(
  async (app: FastifyInstance, { maxDelayMs }: { maxDelayMs: number }) => {
    const shedding = new Shedding(maxDelayMs);
    const loop = new LoopDelay((delayMs) => shedding.measured(delayMs));
    let shed = 0;
    let turnedBack = 0;

    // No promise: it stands before every request.
    app.addHook('onRequest', (request, _reply, done) => {
      if (request.routeOptions.config.essential === true) return done();
      if (shedding.refuses()) {
        shed++;
        return done(overloaded());
      }
      if (!READING.has(request.method) && app.writeQueue.oldestMs > LONGEST_QUEUE_MS) {
        turnedBack++;
        return done(writesWait());
      }
      done();
    });

    app.addHook('onClose', async () => loop.stop());
    app.metrics.gauge(
      'muster_event_loop_delay_seconds',
      `How late the event loop was, at most, in the last ${WINDOW_MS} ms.`,
      () => loop.lastMs / 1000,
    );
    app.metrics.counter(
      'muster_requests_shed_total',
      'Requests that were refused because too many came.',
      () => [
        { labels: { reason: 'event_loop' }, value: shed },
        { labels: { reason: 'write_queue' }, value: turnedBack },
      ],
    );
  },
  { name: 'overload', dependencies: ['edge', 'metrics'] },
);

const READING = new Set(['GET', 'HEAD', 'OPTIONS']);

export function overloaded(): Unavailable {
  return new Unavailable('overloaded', 'More requests come than can be served. Nothing was changed.');
}

function writesWait(): Unavailable {
  return new Unavailable(
    'too-busy',
    'More writes are waiting than the database can take. Nothing was changed.',
  );
}
