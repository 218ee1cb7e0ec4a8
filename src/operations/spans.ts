import { AsyncLocalStorage } from 'node:async_hooks';
import {
  type Context,
  defaultTextMapGetter,
  defaultTextMapSetter,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  SpanStatusCode,
  trace,
} from '@opentelemetry/api';
import { W3CTraceContextPropagator } from '@opentelemetry/core';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-proto';
import {
  defaultResource,
  detectResources,
  envDetector,
  resourceFromAttributes,
} from '@opentelemetry/resources';
import {
  AlwaysOffSampler,
  AlwaysOnSampler,
  BatchSpanProcessor,
  ParentBasedSampler,
  type Sampler,
  TraceIdRatioBasedSampler,
  TracerProvider,
} from '@opentelemetry/sdk-trace';
import type { FastifyBaseLogger, FastifyReply, FastifyRequest } from 'fastify';
import type { Bell } from '../db/bell.ts';
import type { Tx } from '../db/tx.ts';
import { within } from './patience.ts';

export interface Sampling {
  /** One of the standard names of `OTEL_TRACES_SAMPLER`, which the library does not read by itself. */
  sampler: string;
  ratio: number;
}

type Write = <T>(work: (tx: Tx) => Promise<T>) => Promise<T>;

const PROPAGATOR = new W3CTraceContextPropagator();

interface TaskAttempt {
  id: number;
  kind: string;
  attempt: number;
  traceparent: string | null;
}

/**
 * Makes spans by the semantic conventions of HTTP, but for what would be personal data in them: no path, no query, no
 * address of a client, no message of an error. Nothing is registered globally: two apps in one process keep apart.
 */
export class Tracing {
  readonly #provider: TracerProvider;
  readonly #tracer;
  /** The span of what runs now. */
  readonly #now = new AsyncLocalStorage<Context>();
  readonly #requests = new WeakMap<FastifyRequest, Context>();

  constructor(sampling: Sampling, log: FastifyBaseLogger) {
    // `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` come last, so that they hold.
    const resource = defaultResource()
      .merge(resourceFromAttributes({ 'service.name': 'muster' }))
      .merge(detectResources({ detectors: [envDetector] }));
    this.#provider = new TracerProvider({
      resource,
      sampler: samplerOf(sampling),
      spanProcessors: [new BatchSpanProcessor({ exporter: told(new OTLPTraceExporter(), log) })],
    });
    this.#tracer = this.#provider.getTracer('muster');
  }

  /** The span of a request, from its head until its answer has gone. A caller's own is continued. */
  serve(request: FastifyRequest, reply: FastifyReply): void {
    const { method, routeOptions, headers, protocol } = request;
    const route = routeOptions.url;
    const caller = PROPAGATOR.extract(ROOT_CONTEXT, headers, defaultTextMapGetter);
    const attributes = {
      'http.request.method': method,
      ...(route !== undefined && { 'http.route': route }),
      'url.scheme': protocol,
      'muster.request.id': request.id, // as in the log
    };
    const name = route === undefined ? method : `${method} ${route}`;
    const span = this.#tracer.startSpan(name, { kind: SpanKind.SERVER, attributes }, caller);
    this.#requests.set(request, trace.setSpan(caller, span));
    reply.raw.once('close', () => {
      if (reply.raw.writableFinished) endHttp(span, reply.statusCode, 500);
      else end(span, 'aborted');
    });
  }

  within(request: FastifyRequest, work: () => void): void {
    const context = this.#requests.get(request);
    if (context === undefined) work();
    else this.#now.run(context, work);
  }

  /** What runs now, to be kept with what it leads to. */
  traceparent(): string | undefined {
    const carrier: { traceparent?: string } = {};
    const context = this.#now.getStore();
    if (context !== undefined) PROPAGATOR.inject(context, carrier, defaultTextMapSetter);
    return carrier.traceparent;
  }

  /**
   * Writes share transactions, begun by any one of them: each work is run as a part of what asked for it. So is the bell
   * rung, since whoever hears it may enqueue something.
   */
  write(write: Write, bell: Bell): Write {
    return async (work) => {
      const topics = new Set<string>();
      const bound = AsyncLocalStorage.bind((tx: Tx) => {
        topics.clear();
        return work({ ...tx, ring: (topic) => void topics.add(topic) });
      });
      const value = await write(bound as typeof work);
      for (const topic of topics) bell.ring(topic);
      return value;
    };
  }

  /** The span of one attempt at a task. It continues the one in which the task was enqueued. */
  task<T>({ id, kind, attempt, traceparent }: TaskAttempt, work: () => Promise<T>): Promise<T> {
    const cause = PROPAGATOR.extract(
      ROOT_CONTEXT,
      traceparent === null ? {} : { traceparent },
      defaultTextMapGetter,
    );
    const attributes = { 'muster.task.id': id, 'muster.task.kind': kind, 'muster.task.attempt': attempt };
    const span = this.#tracer.startSpan(`task ${kind}`, { kind: SpanKind.CONSUMER, attributes }, cause);
    return this.#now.run(trace.setSpan(cause, span), async () => {
      try {
        const result = await work();
        span.end();
        return result;
      } catch (error) {
        end(span, error instanceof Error ? error.constructor.name : 'thrown');
        throw error;
      }
    });
  }

  /** The span of one request to a webhook; `work` is given the headers that tell the receiver of it. */
  async request<T extends { status: number | null }>(
    url: string,
    work: (headers: Record<string, string>) => Promise<T>,
  ): Promise<T> {
    const { hostname, port, protocol } = new URL(url);
    const attributes = {
      'http.request.method': 'POST',
      'server.address': hostname,
      'server.port': Number(port || (protocol === 'https:' ? 443 : 80)),
    };
    const cause = this.#now.getStore() ?? ROOT_CONTEXT;
    const span = this.#tracer.startSpan('POST', { kind: SpanKind.CLIENT, attributes }, cause);
    const headers = {};
    PROPAGATOR.inject(trace.setSpan(cause, span), headers, defaultTextMapSetter);
    try {
      const outcome = await work(headers);
      if (outcome.status === null) end(span, 'unreachable');
      else endHttp(span, outcome.status, 400);
      return outcome;
    } catch (error) {
      end(span, 'aborted');
      throw error;
    }
  }

  /** Sends what has not been sent, and waits no longer than so. */
  async close(longestMs: number): Promise<void> {
    await within(longestMs, this.#provider.shutdown()).catch(() => {});
  }
}

function samplerOf({ sampler: name, ratio }: Sampling): Sampler {
  const [, parentBased, root] = /^(parentbased_)?(.+)$/.exec(name) ?? [];
  const sampler =
    root === 'traceidratio'
      ? new TraceIdRatioBasedSampler(ratio)
      : root === 'always_off'
        ? new AlwaysOffSampler()
        : new AlwaysOnSampler();
  return parentBased === undefined ? sampler : new ParentBasedSampler({ root: sampler });
}

function endHttp(span: Span, status: number, isError: number): void {
  span.setAttribute('http.response.status_code', status);
  if (status < isError) span.end();
  else end(span, String(status));
}

function end(span: Span, error: string): void {
  span.setAttribute('error.type', error).setStatus({ code: SpanStatusCode.ERROR }).end();
}

/** A collector that is away is no reason to stop anything. It is said once, and again when it has come back. */
function told(exporter: OTLPTraceExporter, log: FastifyBaseLogger): OTLPTraceExporter {
  let isAway = false;
  const send = exporter.export.bind(exporter);
  exporter.export = (spans, done) =>
    send(spans, (result) => {
      const failed = result.code !== 0;
      if (failed && !isAway) log.warn({ err: result.error }, 'traces cannot be sent, and are dropped');
      if (!failed && isAway) log.info('traces are sent again');
      isAway = failed;
      done(result);
    });
  return exporter;
}
