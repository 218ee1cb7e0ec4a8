import type { Socket } from 'node:net';
import { Readable } from 'node:stream';
import type { FastifyReply, FastifyRequest } from 'fastify';

/*
 * `requestTimeout` is a limit for a whole request, and Node has none for a single one. What it does when the time is over
 * is to tell `clientError` of the server, once for each request, and to leave all else to that: so a request that may
 * take long is known by its socket, and is let be there (see `edge.ts`). Its head has arrived in time by then.
 */
const streaming = new WeakSet<Socket>();

export function mayTakeLong(socket: Socket): boolean {
  return streaming.has(socket);
}

/** Fewer bytes than that in `requestTimeout` are a client that only holds its place: about 550 bytes a second. */
export const LEAST_BYTES = 16_384;

/**
 * The body of a request as it arrives, for as long as it keeps coming. Time is counted only while the client is waited
 * for, not while whoever reads does something with it.
 * @throws when the client leaves, or sends less than `LEAST_BYTES` in `slowestMs`; the connection is then broken off
 */
export async function* readSlowly(request: FastifyRequest, slowestMs: number): AsyncGenerator<Buffer> {
  const { raw } = request;
  let [bytes, waitedMs] = [0, 0];
  const { socket } = raw;
  streaming.add(socket);
  let timer: NodeJS.Timeout | undefined;
  const wait = () => {
    const since = performance.now();
    timer = setTimeout(() => raw.destroy(new Error('The body does not arrive.')), slowestMs - waitedMs);
    return () => {
      clearTimeout(timer);
      waitedMs += performance.now() - since;
    };
  };
  try {
    let done = wait();
    // Who stops reading in the middle has an answer to give: the connection stays.
    for await (const chunk of raw.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
      done();
      bytes += chunk.length;
      if (bytes >= LEAST_BYTES) [bytes, waitedMs] = [0, 0];
      yield chunk;
      done = wait();
    }
  } finally {
    clearTimeout(timer);
    streaming.delete(socket);
  }
}

/** Answers HEAD where GET has a stream, whose length nobody knows yet: none is said (RFC 9110 §8.6). */
export function sendHead(reply: FastifyReply) {
  return reply.send(Readable.from([]) as never); // Fastify would take a text for the whole, and say how long it is
}

/** How long a client may go on to send what is not read any more. */
const LINGER_MS = 5000;

/** What is still to come of a refused request passes by, so that the client can read why; but not for ever. */
export function drain({ raw }: FastifyRequest): void {
  if (raw.complete || raw.destroyed) return;
  raw.resume();
  const timer = setTimeout(() => raw.destroy(), LINGER_MS).unref();
  raw.once('close', () => clearTimeout(timer));
}
