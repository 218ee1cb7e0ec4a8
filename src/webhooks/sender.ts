import { promises as dns, type LookupAddress } from 'node:dns';
import type { LookupFunction } from 'node:net';
import type { FastifyInstance } from 'fastify';
import type { Agent, buildConnector, Dispatcher } from 'undici';
import type { Message } from './message.ts';
import { type Networks, notPublic } from './networks.ts';
import { readRetryAfter } from './retries.ts';

/** For one attempt: the name, the connection, the answer and its body. */
const LIMIT_MS = 15_000;
/** So much of an answer's body is read, so that the connection can be used again. None of it is kept. */
const BODY_BYTES = 65_536;
/** What is on its way when the service stops may still arrive: else it would be sent again. */
const LAST_MS = 1000;

/** What became of one attempt; without an error the receiver has acknowledged it. */
export interface Outcome {
  status: number | null;
  ms: number;
  error: string | null;
  /** `Retry-After`. */
  askedMs?: number | undefined;
}

interface Signed {
  secrets: readonly string[];
  message: Message;
  /** Those of a trace. */
  headers: Record<string, string>;
}

export interface SenderOptions {
  networks: Networks;
  tracing?: FastifyInstance['tracing'];
  limitMs?: number | undefined;
  /** How long after the service begins to stop. */
  lastMs?: number | undefined;
  /** All addresses of a name. */
  resolve?: ((name: string) => Promise<LookupAddress[]>) | undefined;
}

/**
 * Sends messages. Whom it connects to is decided where the socket connects, by the address that it is about to connect
 * to: whatever the URL, the resolver or a redirect says (none is followed), nothing else is reached. No proxy is used.
 */
export class Sender {
  readonly lastMs: number;
  readonly #networks: Networks;
  readonly #tracing: FastifyInstance['tracing'];
  readonly #limitMs: number;
  readonly #resolve: (name: string) => Promise<LookupAddress[]>;
  /** Names that are being looked up: the resolver has four threads, which one slow name must not have all of. */
  readonly #lookups = new Map<string, Promise<LookupAddress[]>>();
  #agent: Promise<Agent> | undefined;

  constructor({ networks, tracing, limitMs = LIMIT_MS, lastMs = LAST_MS, resolve }: SenderOptions) {
    this.#networks = networks;
    this.#tracing = tracing;
    this.#limitMs = limitMs;
    this.lastMs = lastMs;
    this.#resolve = resolve ?? ((name) => dns.lookup(name, { all: true }));
  }

  /** @throws the reason of `stop` when that is aborted; nothing else */
  send(url: string, secrets: readonly string[], message: Message, stop: AbortSignal): Promise<Outcome> {
    const send = (headers = {}) => this.#send(url, { secrets, message, headers }, stop);
    return this.#tracing === undefined ? send() : this.#tracing.request(url, send);
  }

  async #send(url: string, signed: Signed, stop: AbortSignal): Promise<Outcome> {
    const began = performance.now();
    const limit = AbortSignal.timeout(this.#limitMs);
    const signal = AbortSignal.any([limit, stop]);
    const ended = Promise.withResolvers<never>();
    ended.promise.catch(() => {}); // nobody may be waiting any more
    const abort = () => ended.reject(signal.reason);
    signal.addEventListener('abort', abort, { once: true });
    const outcome = (status: number | null, error: string | null, askedMs?: number): Outcome => ({
      status,
      ms: Math.round(performance.now() - began),
      error,
      askedMs,
    });
    try {
      if (signal.aborted) abort();
      // undici hears of the signal only when there is a connection, which may take as long as it likes.
      const answer = await Promise.race([this.#request(url, signed, signal), ended.promise]);
      const { statusCode: status, headers, body } = answer;
      await body.dump({ limit: BODY_BYTES, signal }).catch(() => {});
      if (status >= 200 && status < 300) return outcome(status, null);
      return outcome(status, explain(status), readRetryAfter(headers['retry-after']));
    } catch (error) {
      stop.throwIfAborted();
      if (limit.aborted) return outcome(null, `There was no answer within ${this.#limitMs} ms.`);
      return outcome(null, messageOf(error));
    } finally {
      signal.removeEventListener('abort', abort);
    }
  }

  async close(): Promise<void> {
    await (await this.#agent)?.destroy();
  }

  async #request(url: string, { secrets, message, headers }: Signed, signal: AbortSignal) {
    this.#agent ??= this.#open();
    const [agent, { Webhook }] = await Promise.all([this.#agent, import('standardwebhooks')]);
    const { origin, pathname, search } = new URL(url);
    const { id, body } = message;
    const now = new Date();
    const request: Dispatcher.RequestOptions = {
      origin,
      path: `${pathname}${search}`,
      method: 'POST',
      headers: {
        ...headers,
        'content-type': 'application/json',
        'user-agent': 'Muster',
        'webhook-id': id,
        'webhook-timestamp': String(Math.floor(now.getTime() / 1000)),
        'webhook-signature': secrets.map((secret) => new Webhook(secret).sign(id, now, body)).join(' '),
      },
      body,
      signal,
    };
    return agent.request(request);
  }

  /** Loaded with the first message: a start does without it (docs/decisions/0004). */
  async #open(): Promise<Agent> {
    const undici = await import('undici');
    const connect = undici.buildConnector({
      timeout: this.#limitMs,
      allowH2: false,
      rejectUnauthorized: true, // whatever the environment says
      lookup: this.#lookup,
    });
    return new undici.Agent({
      connect: (options, callback) => this.#connect(connect, options, callback),
      // Shorter than anybody closes a connection for: a message on one that is just being closed would have failed.
      keepAliveTimeout: 1000,
      keepAliveMaxTimeout: 1000, // nor as long as the receiver offers
    });
  }

  #connect(
    connect: buildConnector.connector,
    options: buildConnector.Options,
    callback: buildConnector.Callback,
  ): void {
    const refusal = this.#networks.refusalOf(options.hostname); // an address is not looked up
    if (refusal !== undefined) return void callback(refusal, null);
    connect(options, (error, socket) => {
      if (error !== null) return callback(error, null);
      const address = socket.remoteAddress ?? '';
      if (this.#networks.admits(address)) return callback(null, socket);
      socket.destroy();
      callback(notPublic(address), null);
    });
  }

  /** The socket connects to one of the addresses that this gives, and asks no resolver again. */
  readonly #lookup: LookupFunction = (name, options, callback) => {
    this.#addressesOf(name).then(
      (all) => {
        const admitted = all.filter(({ address }) => this.#networks.admits(address));
        const [first] = admitted;
        if (first === undefined) return callback(notPublic(all.map(({ address }) => address).join(', ')), '');
        if (options.all) callback(null, admitted);
        else callback(null, first.address, first.family);
      },
      (error) => callback(error, ''),
    );
  };

  #addressesOf(name: string): Promise<LookupAddress[]> {
    let lookup = this.#lookups.get(name);
    if (lookup === undefined) {
      lookup = this.#resolve(name).finally(() => this.#lookups.delete(name));
      this.#lookups.set(name, lookup);
    }
    return lookup;
  }
}

function explain(status: number): string {
  if (status === 410) return 'The receiver answered 410 Gone.';
  const isRedirect = status >= 300 && status < 400;
  return `The receiver answered ${status}${isRedirect ? ': redirects are not followed' : ''}.`;
}

/** When every address of a name has failed, each has its own message. */
function messageOf(error: unknown): string {
  const errors: unknown[] = error instanceof AggregateError ? error.errors : [error];
  const messages = errors.map((one) => (one instanceof Error ? one.message || one.name : String(one)));
  return messages.join('; ').slice(0, 500).toWellFormed();
}
