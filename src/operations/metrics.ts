import type { FastifyInstance } from 'fastify';
import plugin from 'fastify-plugin';
import { RequestCounts } from './request-counts.ts';

/** One value of a metric, told apart from its other values by labels. `suffix` is for the parts of a histogram. */
export interface Sample {
  labels?: Readonly<Record<string, string>>;
  value: number;
  suffix?: '_bucket' | '_sum' | '_count';
}

/** A single value, several, or undefined when there is none just now. */
type Reading = number | undefined | readonly Sample[];

export interface Metric {
  name: string;
  help: string;
  type: 'gauge' | 'counter' | 'histogram';
  read(): Reading | Promise<Reading>;
}

declare module 'fastify' {
  interface FastifyInstance {
    metrics: Metrics;
    /** Whether so many ask here that background work should take small steps. */
    isBusy(): boolean;
  }
}

/** Answers in a second. Whoever follows a task, or scrapes this, is fewer. */
const BUSY = 25;
/** How long an answer may be given again: some values are counted in the database. */
const KEPT_MS = 1000;
/** What reading one metric may take. */
const LONGEST_MS = 1000;

/**
 * What there is to measure. Features say how each of their values is read, and it is read when somebody asks for all of
 * them. Names follow Prometheus: `muster_…`, with the unit last (`_seconds`, `_bytes`), `_total` for what only grows.
 */
export class Metrics {
  readonly #metrics: Metric[] = [];
  #asked: Promise<string> | undefined;
  #askedAt = -Infinity;

  /** `read` must not wait for what others wait for: a full pool is what is to be seen (`app.probe` does not). */
  gauge(name: string, help: string, read: Metric['read']): void {
    this.add({ type: 'gauge', name, help, read });
  }

  /** `name` ends in `_total`. */
  counter(name: string, help: string, read: Metric['read']): void {
    this.add({ type: 'counter', name, help, read });
  }

  add(metric: Metric): void {
    this.#metrics.push(metric);
  }

  /** In Prometheus's text format. What writes it is loaded when it is first asked for: 80 ms of CPU time. */
  render(): Promise<string> {
    const now = performance.now();
    if (this.#asked === undefined || now - this.#askedAt > KEPT_MS) {
      this.#askedAt = now;
      this.#asked = import('./prometheus.ts').then(({ render }) => render(this.#metrics, LONGEST_MS));
    }
    return this.#asked;
  }
}

/** It stands before all that is counted. */
export default plugin(
  async (app: FastifyInstance) => {
    const metrics = new Metrics();
    const requests = new RequestCounts();
    app.decorate('metrics', metrics);
    app.decorate('isBusy', () => requests.lately() > BUSY);
    for (const metric of requests.metrics()) metrics.add(metric);
    metrics.gauge(
      'muster_streams_open',
      'Event streams that are open, of changes and of tasks.',
      () => app.streams.open,
    );
    app.addHook('onResponse', (request, reply, done) => {
      const route = request.routeOptions.url ?? '(unknown)';
      // A stream is open for as long as somebody listens: that is no time in which it was answered.
      const ms = request.isStream ? undefined : reply.elapsedTime;
      requests.count(request.method, route, reply.statusCode, ms);
      done();
    });
  },
  { name: 'metrics', dependencies: ['streams'] },
);
