import { setTimeout as wait } from 'node:timers/promises';
import type { FastifyReply } from 'fastify';
import Negotiator from 'negotiator';
import { sendHead } from './streaming.ts';

/** One event of a stream (HTML §9.2). `data` is sent as JSON; a string is JSON already. */
export interface StreamEvent {
  event: string;
  id?: string;
  data: unknown;
}

/** Proxies and `connectionTimeout` cut what is silent for longer. */
export const HEARTBEAT_MS = 15_000;
/** A client that has taken nothing for so long is cut. */
export const STALLED_MS = 15_000;

export const EVENT_STREAM = 'text/event-stream';

/**
 * Whether a client would rather have events than JSON: by the weights in `Accept`, of two that are equal what it names
 * first (RFC 9110 §12.5.1). A cache is told that the answer depends on it.
 */
export function wantsEvents(reply: FastifyReply): boolean {
  const vary = reply.getHeader('vary');
  reply.header('vary', vary === undefined ? 'Accept' : `${vary}, Accept`);
  return new Negotiator(reply.request).mediaType(['application/json', EVENT_STREAM]) === EVENT_STREAM;
}

/** JSON has no line ends, so the data is one line. */
export function eventFrame({ event, id, data }: StreamEvent): string {
  const json = typeof data === 'string' ? data : JSON.stringify(data);
  return `${id === undefined ? '' : `id: ${id}\n`}event: ${event}\ndata: ${json}\n\n`;
}

const STREAM_HEADERS = {
  'content-type': EVENT_STREAM,
  'cache-control': 'no-store',
  'x-accel-buffering': 'no', // nginx would keep events back until it has a page of them
};

/** Answers HEAD where GET would be answered with events: it would wait for an end. */
export function sendEventsHead(reply: FastifyReply) {
  return sendHead(reply.headers(STREAM_HEADERS));
}

/** An open answer to which events are written. */
export type EventSink = ReturnType<typeof openEvents>;

/**
 * Begins to answer with events, past Fastify's own sending. The body has no length and no chunks: it ends with the
 * connection (RFC 9112 §6.3), and a write is one system call (with chunks, through a stream, 10,000 of them took twice
 * the time).
 * @throws {TooMany} when the client has as many streams as one may have
 */
export function openEvents(reply: FastifyReply) {
  reply.server.streams.enter(reply);
  reply.hijack();
  const { raw } = reply;
  raw.useChunkedEncodingByDefault = false;
  raw.writeHead(200, {
    ...(reply.getHeaders() as Record<string, string>),
    ...STREAM_HEADERS,
    connection: 'close',
  });
  raw.flushHeaders();
  const isClosed = () => raw.writableEnded || raw.destroyed;
  return {
    get closed(): boolean {
      return isClosed();
    },
    /** Whether all that was written has left the process. Who writes when it has not, buffers. */
    get taken(): boolean {
      return raw.writableLength === 0;
    },
    write(frames: string | Uint8Array): void {
      if (!isClosed() && frames.length > 0) raw.write(frames);
    },
    /** Waits until all is taken, `ms` at most, and says whether it was. */
    async whenTaken(ms: number): Promise<boolean> {
      const until = performance.now() + ms;
      for (let pause = 0; raw.writableLength > 0; pause = 5) {
        if (isClosed() || performance.now() > until) return false;
        await wait(pause);
      }
      return true;
    },
    /** The regular end. */
    end(): void {
      raw.end();
    },
    /** Breaks the connection off. */
    cut(): void {
      raw.destroy();
    },
  };
}

/**
 * Answers with events until there are no more: when `app.whileOpen` says so, the iterator has to end. No event is asked
 * for before the client has taken the one before.
 */
export function sendEvents(reply: FastifyReply, events: AsyncIterable<StreamEvent>): FastifyReply {
  const sink = openEvents(reply);
  const heartbeat = setInterval(() => sink.taken && sink.write(': still here\n\n'), HEARTBEAT_MS);
  const send = async () => {
    for await (const event of events) {
      sink.write(eventFrame(event));
      if (!(await sink.whenTaken(STALLED_MS))) return sink.cut();
    }
    sink.end();
  };
  send()
    .catch(() => sink.cut())
    .finally(() => clearInterval(heartbeat));
  return reply;
}
