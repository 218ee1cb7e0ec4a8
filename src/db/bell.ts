import { randomUUID } from 'node:crypto';
import type { FastifyBaseLogger } from 'fastify';
import type { Client } from 'pg';
import { createClient } from './postgresql.ts';
import { dialectOf } from './url.ts';

const CHANNEL = 'muster';
/** Rings of one topic within this time are one for the other replicas: each NOTIFY costs them a round trip. */
const GATHER_MS = 10;
const RECONNECT_MS = 500;

/**
 * Tells that something has happened under a topic, in this process at once, and on the other replicas through
 * PostgreSQL's NOTIFY. A hint only: a lost one costs latency, so whoever waits for it also looks by the clock. It is
 * rung after the commit (`tx.ring`), never in the transaction, where NOTIFY would make the commits wait for
 * each other.
 */
export class Bell {
  readonly #databaseUrl: string;
  readonly #log: FastifyBaseLogger;
  /** What is rung here comes back from PostgreSQL, too, and is not heard twice. */
  readonly #id = randomUUID();
  readonly #listeners = new Map<string, Set<() => void>>();
  readonly #pending = new Set<string>();
  #timer: NodeJS.Timeout | undefined;
  #client: Client | undefined;
  #retry: NodeJS.Timeout | undefined;
  #open = false;

  constructor(databaseUrl: string, log: FastifyBaseLogger) {
    this.#databaseUrl = databaseUrl;
    this.#log = log;
  }

  /** Calls `listener` at each ring of `topic` until the function that it gives is called. */
  on(topic: string, listener: () => void): () => void {
    const all = this.#listeners.get(topic) ?? new Set();
    this.#listeners.set(topic, all);
    all.add(listener);
    return () => void all.delete(listener);
  }

  ring(topic: string): void {
    this.ringHere(topic);
    if (this.#client === undefined) return;
    this.#pending.add(topic);
    this.#timer ??= setTimeout(() => this.#send(), GATHER_MS);
  }

  /** In this process only: for what nobody elsewhere needs at once. */
  ringHere(topic: string): void {
    for (const listener of this.#listeners.get(topic) ?? []) listener();
  }

  /** Begins to hear the other replicas. It waits for nothing: without a connection there is still the clock. */
  start(): void {
    if (this.#open || dialectOf(this.#databaseUrl) === 'sqlite') return;
    this.#open = true;
    this.#connect();
  }

  async stop(): Promise<void> {
    this.#open = false;
    clearTimeout(this.#timer);
    clearTimeout(this.#retry);
    const client = this.#client;
    this.#client = undefined;
    await client?.end().catch(() => {});
  }

  #connect(): void {
    this.#listen().catch((error) => {
      if (!this.#open) return;
      this.#log.debug({ err: error }, 'the bell has no connection, and tries again');
      this.#retry = setTimeout(() => this.#connect(), RECONNECT_MS);
    });
  }

  /** On a connection of its own: the pool's come and go, and LISTEN belongs to one of them. */
  async #listen(): Promise<void> {
    const limits = { connectionTimeoutMillis: 2000, query_timeout: 5000 };
    const client = await createClient(this.#databaseUrl, limits);
    client.on('error', (error) => this.#lost(client, error));
    client.on('end', () => this.#lost(client, new Error('the connection has ended')));
    client.on('notification', ({ payload = '' }) => {
      const [from, ...topics] = payload.split(' ');
      if (from !== this.#id) for (const topic of topics) this.ringHere(topic);
    });
    try {
      await client.connect();
      await client.query(`listen ${CHANNEL}`);
    } catch (error) {
      await client.end().catch(() => {});
      throw error;
    }
    if (!this.#open) return client.end();
    this.#client = client;
    // What was rung elsewhere before this moment went by unheard.
    for (const topic of this.#listeners.keys()) this.ringHere(topic);
  }

  #lost(client: Client, error: Error): void {
    if (this.#client !== client) return;
    this.#client = undefined;
    client.end().catch(() => {});
    this.#log.debug({ err: error }, 'the bell has lost its connection');
    this.#retry = setTimeout(() => this.#connect(), RECONNECT_MS);
  }

  /** One NOTIFY at a time: pg gives up queueing them. What is rung meanwhile goes with the next. */
  async #send(): Promise<void> {
    const payload = [this.#id, ...this.#pending].join(' ');
    this.#pending.clear();
    await this.#client?.query('select pg_notify($1, $2)', [CHANNEL, payload]).catch(() => {});
    const hasMore = this.#open && this.#pending.size > 0;
    this.#timer = hasMore ? setTimeout(() => this.#send(), GATHER_MS) : undefined;
  }
}
