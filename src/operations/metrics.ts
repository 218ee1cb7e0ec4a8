import type { FastifyInstance } from 'fastify';
import plugin from 'fastify-plugin';
import { CUT, onceEnded } from '../http/ended.ts';
import { keep } from './patience.ts';
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

/**
 * What there is to measure. Features say how each of their values is read, and it is read when somebody asks for all of
 * them. Names follow Prometheus: `muster_…`, with the unit last (`_seconds`, `_bytes`), `_total` for what only grows.
 */
export class Metrics {
  readonly #metrics: Metric[] = [];

  /** `read` must not wait for what others wait for: a full pool is what is to be seen (`app.probe` does not). */
  gauge(name: string, help: string, read: Metric['read']): void {
    this.#metrics.push({ type: 'gauge', name, help, read });
  }

  /** `name` ends in `_total`. */
  counter(name: string, help: string, read: Metric['read']): void {
    this.#metrics.push({ type: 'counter', name, help, read });
  }

  histogram(name: string, help: string, read: Metric['read']): void {
    this.#metrics.push({ type: 'histogram', name, help, read });
  }

  /** In Prometheus's text format. What writes it is loaded when it is first asked for: 80 ms of CPU time. */
  readonly render = keep(KEPT_MS, async () => {
    const { render } = await import('./prometheus.ts');
    return render(this.#metrics);
  });
}

/** It stands before all that is counted. */
export default plugin(
  async (app: FastifyInstance) => {
    const metrics = new Metrics();
    const requests = new RequestCounts();
    app.decorate('metrics', metrics);
    app.decorate('isBusy', () => requests.lately() > BUSY);
    metrics.counter(
      'muster_http_requests_total',
      'Requests by the status of their answer; 499: the connection was broken off before it had gone.',
      () => requests.counted(),
    );
    metrics.histogram(
      'muster_http_request_duration_seconds',
      'From the head of a request to the end of its answer; without event streams.',
      () => requests.durations(),
    );
    metrics.gauge(
      'muster_streams_open',
      'Event streams that are open, of changes and of tasks.',
      () => app.streams.open,
    );
    onceEnded(app, (request, reply, status) => {
      const route = request.routeOptions.url ?? '(unknown)';
      // A stream is open for as long as somebody listens, and who leaves was not answered: that is no time of an answer.
      const ms = request.isStream || status === CUT ? undefined : reply.elapsedTime;
      requests.count(request.method, route, status, ms);
    });
  },
  { name: 'metrics', dependencies: ['streams'] },
);
