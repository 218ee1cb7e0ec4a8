import type { IncomingMessage, RequestListener } from 'node:http';
import type { FastifyInstance } from 'fastify';
import plugin from 'fastify-plugin';
import { bareProblem } from '../http/problem.ts';
import { LoopDelay, WINDOW_MS } from './loop.ts';
import { CALM_WINDOWS, Shedding } from './shedding.ts';

/** Queries that wait for a connection to PostgreSQL: more would wait for longer than most clients do. */
const MOST_QUERIES = 200;

/**
 * Sends requests away while there are more than can be served. Without it all of them wait, longer and longer, until
 * their clients have gone; with it most are served as fast as ever and the rest are told at once to come again.
 *
 * - **The event loop is late**: each request waits in the kernel before it is read. Those that come late in one of its
 *   turns are refused, and those that come while as many are being served as can be at once.
 * - **Queries wait** for a connection to PostgreSQL: whoever else comes is refused.
 * - **Writes wait**: who only reads is served as before. What runs in the background is not refused: it holds leases.
 *
 * All are refused before anything else is done with them: by way of the hooks each wrote a line with a stack.
 */
export default plugin(
  async (app: FastifyInstance, { maxDelayMs }: { maxDelayMs: number }) => {
    const shedding = new Shedding(maxDelayMs);
    const essential = new Set<string>();
    const refused = { event_loop: 0, write_queue: 0, read_queue: 0 };
    const total = () => Object.values(refused).reduce((sum, one) => sum + one);
    let before = 0;
    let calm = CALM_WINDOWS;
    /** How many had been refused when the log was told that some are. */
    let told: number | undefined;
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
      if (shedding.isOver && !wasOver) turn();
      calm = total() > before ? 0 : calm + 1;
      const isRefusing = shedding.isOver || calm < CALM_WINDOWS;
      if (isRefusing && told === undefined) {
        app.log.warn({ delayMs, workMs }, 'more requests come than can be served: some are refused');
        told = before;
      } else if (!isRefusing && told !== undefined) {
        app.log.warn({ refused: total() - told }, 'all requests are served again');
        told = undefined;
      }
      before = total();
    });

    app.addHook('onRoute', ({ url, config }) => {
      if (config?.essential === true) essential.add(url);
    });
    const whyNot = ({ method = '' }: IncomingMessage): keyof typeof refused | undefined => {
      if (shedding.refuses()) return 'event_loop';
      if (app.reader.waiting() > MOST_QUERIES) return 'read_queue';
      return app.writeQueue.isBehind && !READING.has(method) ? 'write_queue' : undefined;
    };
    const [serve] = app.server.listeners('request') as [RequestListener];
    app.server.off('request', serve);
    app.server.on('request', (request, response) => {
      const why = whyNot(request);
      if (why === undefined) {
        if (shedding.isOver) response.once('close', shedding.enters());
        return serve(request, response);
      }
      if (essential.has(pathOf(request))) return serve(request, response);
      refused[why]++;
      const { head, body } = REFUSALS[why];
      response.writeHead(503, head).end(body);
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

/** They have no id: there is one line in the log for all of them. */
const REFUSALS = {
  event_loop: refusal('More requests come than can be served.', 'overloaded'),
  read_queue: refusal('More is asked for than the database can answer.', 'too-busy'),
  write_queue: refusal('More writes are waiting than the database can take.', 'too-busy'),
};

function refusal(why: string, code: string) {
  const { headers, body } = bareProblem(503, `${why} Nothing was changed.`, code);
  // As Node takes them without looking at each again.
  return { head: Object.entries({ ...headers, 'retry-after': '1' }).flat(), body };
}

function pathOf({ url = '' }: IncomingMessage): string {
  const end = url.indexOf('?');
  return end < 0 ? url : url.slice(0, end);
}
