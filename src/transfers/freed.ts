import type { ServerResponse } from 'node:http';
import type { Readable } from 'node:stream';

/**
 * Passes pieces on to the body of an answer, and frees the memory of each that has gone out to the client. SQLite gives
 * them outside of V8's heap, where the collector lets some 30 MB gather before it looks.
 */
export async function* freed<T>(
  pieces: AsyncIterable<T>,
  body: () => Readable,
  answer: ServerResponse,
): AsyncGenerator<T> {
  let given: Buffer<ArrayBuffer>[] = [];
  for await (const piece of pieces) {
    yield piece;
    if (isOwn(piece)) given.push(piece);
    given = afterFreeing(given, body().readableLength + answer.writableLength, answer);
  }
}

/** Those that may still be on their way. They go out in their order: while one waits, so do all that came after it. */
function afterFreeing(
  given: readonly Buffer<ArrayBuffer>[],
  waiting: number,
  { socket }: ServerResponse,
): Buffer<ArrayBuffer>[] {
  if (socket === null || socket.destroyed) return [];
  let bytes = given.reduce((sum, { length }) => sum + length, 0);
  return given.filter(({ length, buffer }) => {
    const isWaiting = waiting >= bytes;
    bytes -= length;
    if (!isWaiting) buffer.transfer(0);
    return isWaiting;
  });
}

/** A buffer that shares its memory with no other. */
function isOwn(piece: unknown): piece is Buffer<ArrayBuffer> {
  return Buffer.isBuffer(piece) && piece.length === piece.buffer.byteLength;
}
