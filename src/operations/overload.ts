import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import type { FastifyInstance } from 'fastify';
import plugin from 'fastify-plugin';
import { bareProblem } from '../http/problem.ts';
import { LoopDelay, WINDOW_MS } from './loop.ts';
import { CALM_WINDOWS, Shedding } from './shedding.ts';

/**
 * Sends requests away while there are more than can be served. Without it all of them wait, longer and longer, until
 * their clients have gone; with it most are served as fast as ever and the rest are told at once to come again.
 *
 * - **The event loop is late**: each request waits in the kernel before it is read. Or **queries wait** for a connection to
 *   PostgreSQL. As many are let in at once as there is time for.
 * - **Writes wait**: who only reads is served as before. What runs in the background is not refused: it holds leases.
 *
 * All are refused before anything else is done with them: by way of the hooks each wrote a line with a stack. Long lists,
 * which only the route knows, are refused by `LongReads`, and counted here.
 */
export default plugin(
  async (app: FastifyInstance, { maxDelayMs }: { maxDelayMs: number }) => {
    const shedding = new Shedding(maxDelayMs);
    const essential = new Set<string>();
    const refused = { event_loop: 0, write_queue: 0, read_queue: 0 };
    const all = () => ({
      ...refused,
      long_reads: app.hasDecorator('reader') ? app.reader.long.refused : 0,
    });
    const total = () => Object.values(all()).reduce((sum, one) => sum + one);
    let before = 0;
    let calm = CALM_WINDOWS;
    /** How many had been refused when the log was told that some are. */
    let told: number | undefined;
    let isWatched = false;
    const answer = (response: ServerResponse, why: keyof typeof refused) => {
      const { head, body } = REFUSALS[why];
      response.writeHead(503, head).end(body);
    };
    /** Answered at once, clients with a thousand connections could send and send, and no turn would ever end. */
    let later: [ServerResponse, keyof typeof refused][] = [];
    /** Ahead of what else this turn of the loop has put off: that is work of the next one. */
    const turn = () => {
      isWatched = false;
      for (const [response, why] of later) answer(response, why);
      later = [];
      if (shedding.turn()) watch();
    };
    const watch = () => {
      if (isWatched) return;
      isWatched = true;
      setImmediate(turn);
    };
    const loop = new LoopDelay((delayMs, workMs) => {
      shedding.measured(delayMs, workMs);
      calm = total() > before ? 0 : calm + 1;
      const isRefusing = calm < CALM_WINDOWS || (told !== undefined && shedding.isOver);
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
    const whyNot = (request: IncomingMessage): keyof typeof refused | undefined => {
      if (essential.has(pathOf(request))) return undefined;
      if (app.writeQueue.isBehind && !READING.has(request.method ?? '')) return 'write_queue';
      return shedding.refuses(app.reader.waiting());
    };
    const [serve] = app.server.listeners('request') as [RequestListener];
    app.server.off('request', serve);
    app.server.on('request', (request, response) => {
      const why = whyNot(request);
      if (shedding.isLate || why !== undefined) watch();
      if (why === undefined) {
        response.once('close', shedding.enters());
        serve(request, response);
      } else {
        refused[why]++;
        if (shedding.isLong()) later.push([response, why]);
        else answer(response, why);
      }
    });

    app.addHook('onClose', async () => {
      loop.stop(); // nothing would tell any more that it is over
    });
    app.metrics.gauge(
      'muster_event_loop_delay_seconds',
      `How late the event loop was, at most, in the last ${WINDOW_MS} ms.`,
      () => loop.lastMs / 1000,
    );
    app.metrics.counter(
      'muster_requests_shed_total',
      'Requests that were refused because too many came.',
      () => Object.entries(all()).map(([reason, value]) => ({ labels: { reason }, value })),
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
