import type { ServerResponse } from 'node:http';
import { Readable } from 'node:stream';

/**
 * The body of an answer, each piece of which is freed once it has gone out to the client. They lie outside of V8's heap,
 * where the collector lets some 30 MB gather before it looks. A piece must come once, and nobody may look at it after the
 * next was asked for. Freed too early, other bytes would go out: what is not piped straight into `answer` is let be.
 */
export function freedBody(pieces: AsyncIterable<string | Buffer>, answer: ServerResponse): Readable {
  let isDirect = false;
  let given: Buffer<ArrayBuffer>[] = [];
  const passOn = async function* () {
    for await (const piece of pieces) {
      const bytes = typeof piece === 'string' ? Buffer.from(piece) : piece; // as it would be sent
      yield bytes;
      if (isDirect && isWhole(bytes)) given.push(bytes);
      const gone = countGone(given, body.readableLength, answer);
      for (const { buffer } of given.slice(0, gone)) buffer.transfer(0);
      given = given.slice(gone);
    }
  };
  const body = Readable.from(passOn(), { objectMode: false }); // whose length is in bytes
  answer.once('pipe', (source) => {
    isDirect = source === body;
  });
  return body;
}

/**
 * How many of them have gone. They go in their order: while one waits, so do all that came after it, and all of them are
 * counted. What is dropped is not counted: once anything may be, none is known to have gone.
 */
function countGone(given: readonly Buffer[], readableLength: number, answer: ServerResponse): number {
  const { socket } = answer;
  if (socket === null || socket.destroyed || answer.writableEnded) return 0;
  const waitingBytes = readableLength + answer.writableLength;
  let bytes = 0;
  const first = given.findLastIndex(({ length }) => {
    bytes += length;
    return bytes > waitingBytes;
  });
  return first + 1;
}

/** Whether it spans all of its memory. */
function isWhole(piece: Buffer): piece is Buffer<ArrayBuffer> {
  return piece.length > 0 && piece.length === piece.buffer.byteLength;
}
