import { connect, type Socket } from 'node:net';
import type { Answer, Sent } from './memory.ts';

const NO_ANSWER_MS = 60_000;

/** A connection that is kept and opened again, over which bytes go as they are. */
export class Wire {
  readonly #port: number;
  #socket: Socket | undefined;

  constructor(port: number) {
    this.#port = port;
  }

  async exchange(sent: Sent): Promise<Answer> {
    const bytes = requestBytes(sent);
    const reused = this.#socket !== undefined && !this.#socket.destroyed;
    const answer = await this.#send(bytes, sent.method);
    // The service may have closed an idle connection just now; then it has read nothing.
    const [last] = answer === undefined && reused ? [await this.#send(bytes, sent.method)] : [answer];
    if (last === undefined) throw new Error('the connection was closed without an answer');
    return last;
  }

  close(): void {
    this.#socket?.destroy();
  }

  async #send(bytes: Buffer, method: string): Promise<Answer | undefined> {
    if (this.#socket === undefined || this.#socket.destroyed) {
      this.#socket = connect({ port: this.#port, host: '127.0.0.1', noDelay: true });
      this.#socket.on('error', () => {});
    }
    const socket = this.#socket;
    let received = Buffer.alloc(0);
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => end(undefined, new Error('no answer in a minute')), NO_ANSWER_MS);
      const end = (answer: Answer | undefined, error?: Error) => {
        clearTimeout(timer);
        socket.off('data', onData).off('close', onClose);
        if (error !== undefined || answer?.headers.connection === 'close') socket.destroy();
        if (error === undefined) resolve(answer);
        else reject(error);
      };
      const onData = (chunk: Buffer) => {
        received = Buffer.concat([received, chunk]);
        const read = readAnswer(received, method);
        if (read !== undefined) end(read.answer);
      };
      const onClose = () => end(undefined);
      socket.on('data', onData).once('close', onClose);
      socket.write(bytes);
    });
  }
}

function requestBytes({ step, method, target, headers, body }: Sent): Buffer {
  const lines = [
    `${method} ${target} HTTP/1.1`,
    'host: localhost',
    ...headers.map((pair) => pair.join(': ')),
  ];
  if (body === undefined) return Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1');
  if (!step.chunked) {
    const head = [...lines, `content-length: ${body.length}`].join('\r\n');
    return Buffer.concat([Buffer.from(`${head}\r\n\r\n`, 'latin1'), body]);
  }
  const half = body.length >> 1;
  const pieces = [body.subarray(0, half), body.subarray(half)].filter((piece) => piece.length > 0);
  const chunks = pieces.flatMap((piece) => [
    Buffer.from(`${piece.length.toString(16)}\r\n`),
    piece,
    Buffer.from('\r\n'),
  ]);
  const head = [...lines, 'transfer-encoding: chunked'].join('\r\n');
  return Buffer.concat([Buffer.from(`${head}\r\n\r\n`, 'latin1'), ...chunks, Buffer.from('0\r\n\r\n')]);
}

/** The first whole answer among the bytes, and what is left; undefined while there is none. */
export function readAnswer(bytes: Buffer, method: string): { answer: Answer; rest: Buffer } | undefined {
  const end = bytes.indexOf('\r\n\r\n');
  if (end < 0) return undefined;
  const [first = '', ...lines] = bytes.subarray(0, end).toString('latin1').split('\r\n');
  const status = Number(/^HTTP\/1\.1 (\d{3}) /.exec(first)?.[1]);
  if (!Number.isInteger(status)) throw new Error(`no answer of HTTP: ${first}`);
  const headers: Record<string, string> = {};
  for (const line of lines) {
    const colon = line.indexOf(':');
    headers[line.slice(0, colon).toLowerCase()] = line.slice(colon + 1).trim();
  }
  const after = bytes.subarray(end + 4);
  if (status < 200) return readAnswer(after, method);
  const done = (text: string, length: number) => ({
    answer: { status, headers, text },
    rest: after.subarray(length),
  });
  if (method === 'HEAD' || status === 204 || status === 304) return done('', 0);
  if (headers['transfer-encoding'] === 'chunked') return readChunks(after, done);
  const length = Number(headers['content-length'] ?? 0);
  return after.length < length ? undefined : done(after.subarray(0, length).toString('utf8'), length);
}

function readChunks<T>(bytes: Buffer, done: (text: string, length: number) => T): T | undefined {
  const pieces: Buffer[] = [];
  for (let at = 0; ; ) {
    const line = bytes.indexOf('\r\n', at);
    if (line < 0) return undefined;
    const size = Number.parseInt(bytes.subarray(at, line).toString('latin1'), 16);
    const next = line + 2 + size + 2;
    if (bytes.length < next) return undefined;
    pieces.push(bytes.subarray(line + 2, line + 2 + size));
    if (size === 0) return done(Buffer.concat(pieces).toString('utf8'), next);
    at = next;
  }
}
