import type { IncomingMessage, RequestListener } from 'node:http';
import type { FastifyInstance } from 'fastify';
import plugin from 'fastify-plugin';
import { Unavailable } from '../errors.ts';
import { bareProblem } from '../http/problem.ts';
import { LoopDelay, WINDOW_MS } from './loop.ts';
import { Shedding } from './shedding.ts';

/** Writes come again when the oldest has waited for so long: a commit takes milliseconds, so the database is not keeping up. */
const LONGEST_QUEUE_MS = 2000;
/** Queries that wait for a connection to PostgreSQL: more would wait for longer than most clients do. */
const MOST_QUERIES = 200;

/**
 * Sends requests away while there are more than can be served. Without it all of them wait, longer and longer, until
 * their clients have gone; with it most are served as fast as ever and the rest are told at once to come again.
 *
 * - **The event loop is late**: each request waits in the kernel before it is read. Those that come late in one of its
 *   turns are refused before anything else is done with them: by way of the hooks each wrote a line with a stack.
 * - **Queries wait** for a connection to PostgreSQL: whoever else comes is refused.
 * - **Writes wait**: who only reads is served as before. What runs in the background is not refused: it holds leases.
 */
export default plugin(
  async (app: FastifyInstance, { maxDelayMs }: { maxDelayMs: number }) => {
    const shedding = new Shedding(maxDelayMs);
    const essential = new Set<string>();
    const refused = { event_loop: 0, write_queue: 0, read_queue: 0 };
    let told = 0;
    let next: NodeJS.Immediate | undefined;
    /** Ahead of what else this turn of the loop has put off: that is work of the next one. */
    const turn = () => {
      if (!shedding.isOver) return;
      shedding.turn();
      next = setImmediate(turn);
    };
    const loop = new LoopDelay((delayMs, workMs) => {
      const wasOver = shedding.isOver;
      shedding.measured(delayMs, workMs);
      if (shedding.isOver && !wasOver) {
        app.log.warn({ delayMs, workMs }, 'more requests come than can be served: some are refused');
        turn();
      }
      if (wasOver && !shedding.isOver)
        app.log.warn({ refused: refused.event_loop - told }, 'all requests are served again');
      if (!shedding.isOver) told = refused.event_loop;
    });

    app.addHook('onRoute', ({ url, config }) => {
      if (config?.essential === true) essential.add(url);
    });
    const [serve] = app.server.listeners('request') as [RequestListener];
    app.server.off('request', serve);
    app.server.on('request', (request, response) => {
      if (!shedding.refuses() || essential.has(pathOf(request))) return serve(request, response);
      refused.event_loop++;
      response.writeHead(503, OVERLOADED_HEAD).end(OVERLOADED.body);
    });
    // No promise: it stands before every request.
    app.addHook('onRequest', (request, _reply, done) => {
      if (app.reader.waiting() > MOST_QUERIES && request.routeOptions.config.essential !== true) {
        refused.read_queue++;
        return done(tooBusy('More is asked for than the database can answer.'));
      }
      if (READING.has(request.method) || app.writeQueue.oldestMs <= LONGEST_QUEUE_MS) return done();
      refused.write_queue++;
      done(tooBusy('More writes are waiting than the database can take.'));
    });

    app.addHook('onClose', async () => {
      loop.stop(); // nothing would tell any more that it is over
      clearImmediate(next);
    });
    app.metrics.gauge(
      'muster_event_loop_delay_seconds',
      `How late the event loop was, at most, in the last ${WINDOW_MS} ms.`,
      () => loop.lastMs / 1000,
    );
    app.metrics.counter(
      'muster_requests_shed_total',
      'Requests that were refused because too many came.',
      () => Object.entries(refused).map(([reason, value]) => ({ labels: { reason }, value })),
    );
  },
  { name: 'overload', dependencies: ['edge', 'metrics'] },
);

const READING = new Set(['GET', 'HEAD', 'OPTIONS']);

/** It has no id: there is one line in the log for all of them. */
const OVERLOADED = bareProblem(
  503,
  'More requests come than can be served. Nothing was changed.',
  'overloaded',
);
/** As Node takes them without looking at each again. */
const OVERLOADED_HEAD = Object.entries({ ...OVERLOADED.headers, 'retry-after': '1' }).flat();

function pathOf({ url = '' }: IncomingMessage): string {
  const end = url.indexOf('?');
  return end < 0 ? url : url.slice(0, end);
}

function tooBusy(why: string): Unavailable {
  return new Unavailable('too-busy', `${why} Nothing was changed.`);
}
