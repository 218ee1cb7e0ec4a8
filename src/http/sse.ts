import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import type { FastifyReply, FastifyRequest } from 'fastify';

/** One event of a stream (HTML §9.2). `data` is sent as JSON. */
export interface StreamEvent {
  event: string;
  id?: string;
  data: unknown;
}

/** Proxies and `connectionTimeout` cut what is silent for longer. */
const HEARTBEAT_MS = 15_000;

export const EVENT_STREAM = 'text/event-stream';

export function wantsEvents({ headers }: FastifyRequest): boolean {
  return (headers.accept ?? '').split(',').some((one) => one.split(';')[0]?.trim() === EVENT_STREAM);
}

/**
 * Answers with events until there are no more, or `signal` (of `app.whileOpen`) is aborted. The iterator has to end
 * when it is. No event is asked for before the client has taken the one before.
 */
export function sendEvents(
  reply: FastifyReply,
  events: AsyncIterable<StreamEvent>,
  signal: AbortSignal,
): FastifyReply {
  return reply
    .type(EVENT_STREAM)
    .header('cache-control', 'no-store')
    .header('x-accel-buffering', 'no') // nginx would keep events back until it has a page of them
    .send(Readable.from(frames(events, signal), { objectMode: false, highWaterMark: 16_384 }) as never);
}

async function* frames(events: AsyncIterable<StreamEvent>, signal: AbortSignal): AsyncGenerator<string> {
  const iterator = events[Symbol.asyncIterator]();
  let next = iterator.next();
  for (;;) {
    const timer = new AbortController();
    const beat = sleep(HEARTBEAT_MS, 'beat' as const, { signal: timer.signal }).catch(() => 'beat' as const);
    const result = await Promise.race([next, beat]);
    timer.abort();
    if (signal.aborted) return;
    if (result === 'beat') {
      yield ': still here\n\n';
      continue;
    }
    if (result.done) return;
    yield frame(result.value);
    next = iterator.next();
  }
}

/** JSON has no line ends, so the data is one line. */
function frame({ event, id, data }: StreamEvent): string {
  return `${id === undefined ? '' : `id: ${id}\n`}event: ${event}\ndata: ${JSON.stringify(data)}\n\n`;
}
