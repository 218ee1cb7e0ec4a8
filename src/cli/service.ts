import http, { type ClientRequest, type IncomingMessage } from 'node:http';
import https from 'node:https';
import type { Readable } from 'node:stream';
import { json } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { setTimeout as wait } from 'node:timers/promises';
import { loadClientConfig } from '../config.ts';
import { CommandError, EXIT } from './command.ts';

/** A connection on which nothing moves for so long is given up. */
const SILENT_MS = 60_000;
const PAUSE_MS = 500;

/** The service said no. */
export class Refused extends CommandError {
  readonly status: number;

  constructor(status: number, message: string) {
    super(EXIT.noService, message);
    this.status = status;
  }
}

/** The service cannot be reached, broke off, or is overloaded: it may be there again in a moment. */
export class Away extends CommandError {
  constructor(message: string) {
    super(EXIT.noService, message);
  }
}

export interface Request {
  headers?: Record<string, string | number>;
  /** Streamed as it is taken. */
  body?: Readable;
  /** Breaks the upload off. An upload that is complete is not taken back: its answer has to be heard. */
  signal?: AbortSignal;
}

/** A service over HTTP. `node:http`, because `fetch` loses an answer that comes before the end of an upload. */
export class Service {
  readonly url: string;
  readonly #key: string;

  /** @throws {StartError} if the environment holds what cannot be used */
  constructor() {
    const { url, key } = loadClientConfig();
    this.url = url.replace(/\/$/, '');
    this.#key = key;
  }

  /** The answer, if it is a success. @throws {Refused} @throws {Away} */
  async request(
    method: string,
    path: string,
    { headers, body, signal }: Request = {},
  ): Promise<IncomingMessage> {
    const { request } = this.url.startsWith('https:') ? https : http;
    const outgoing = request(`${this.url}${path}`, {
      method,
      headers: { ...headers, ...(this.#key !== '' && { authorization: `Bearer ${this.#key}` }) },
    });
    const answer = await send(outgoing, body, signal).catch((error) => {
      if (error instanceof CommandError || signal?.aborted === true) throw error;
      throw new Away(`${this.url} cannot be reached: ${reason(error)}`);
    });
    const status = answer.statusCode ?? 0;
    if (status >= 200 && status < 300) return answer;
    const words = await readProblem(answer);
    outgoing.destroy(); // what else was to be uploaded
    if ([429, 502, 503, 504].includes(status)) throw new Away(`${this.url} cannot answer now: ${words}`);
    throw new Refused(status, `${this.url} refused: ${words}`);
  }

  /** @throws {Refused} @throws {Away} */
  async json(method: string, path: string, options?: Request): Promise<unknown> {
    const answer = await this.request(method, path, options);
    return this.whole(json(answer)).catch((error) => {
      throw error instanceof SyntaxError
        ? new Refused(answer.statusCode ?? 0, `${this.url} answers ${path} with no JSON: is it Muster?`)
        : error;
    });
  }

  /** What becomes of reading an answer. @throws {Away} if that breaks off */
  async whole<T>(reading: Promise<T>): Promise<T> {
    return reading.catch((error) => {
      const isCut = error.code === 'ECONNRESET' || error.code === 'ERR_STREAM_PREMATURE_CLOSE';
      throw isCut ? new Away(`${this.url} broke off: ${reason(error)}`) : error;
    });
  }
}

/** Repeats `act` until the service is there again, for `patienceMs` at most. */
export async function patiently<T>(patienceMs: number, act: () => Promise<T>): Promise<T> {
  const until = performance.now() + patienceMs;
  for (;;) {
    try {
      return await act();
    } catch (error) {
      if (!(error instanceof Away) || performance.now() > until) throw error;
    }
    await wait(PAUSE_MS);
  }
}

async function send(
  outgoing: ClientRequest,
  body?: Readable,
  signal?: AbortSignal,
): Promise<IncomingMessage> {
  const answered = Promise.withResolvers<IncomingMessage>();
  let answer: IncomingMessage | undefined;
  outgoing.on('error', answered.reject).on('response', (given) => {
    answer = given;
    answered.resolve(given);
  });
  // Not if it is we who do not read or write: whoever reads our stdout may do so a page at a time.
  const isOurTurn = () =>
    answer === undefined
      ? body !== undefined && !outgoing.writableEnded && !outgoing.writableNeedDrain
      : answer.readableLength > 0;
  outgoing.setTimeout(SILENT_MS, () => {
    if (!isOurTurn()) outgoing.destroy(new Error(`silent for ${SILENT_MS / 1000} s`));
  });
  outgoing.on('socket', (socket) => socket.setKeepAlive(true, SILENT_MS));
  if (body === undefined) outgoing.end();
  else pipeline(body, outgoing, { signal }).catch(answered.reject);
  return answered.promise;
}

function reason(error: NodeJS.ErrnoException & { errors?: Error[] }): string {
  return error.message || (error.errors?.map((one) => one.message).join(', ') ?? `${error.code}`);
}

/** A problem document (RFC 9457) in words, or the status alone. */
async function readProblem(answer: IncomingMessage): Promise<string> {
  const status = `${answer.statusCode} ${answer.statusMessage}`;
  const problem = (await json(answer).catch(() => undefined)) as
    | { detail?: string; errors?: { in: string; pointer: string; detail: string }[] }
    | undefined;
  if (typeof problem?.detail !== 'string') return status;
  const faults = Array.isArray(problem.errors) ? problem.errors : [];
  const lines = faults.map((fault) => `\n  ${fault.in} ${fault.pointer}: ${fault.detail}`);
  // What a stranger says must not steer the terminal.
  return `${status}: ${problem.detail}${lines.join('')}`.replace(/(?!\n)\p{Cc}/gu, '\ufffd');
}
