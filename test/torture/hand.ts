import { setTimeout as wait } from 'node:timers/promises';
import type { Client, Reply } from './client.ts';
import type { History } from './history.ts';
import { Random } from './random.ts';

type Options = Parameters<Client['send']>[3];

export interface HandOptions {
  bases: readonly string[];
  client: Client;
  history: History;
}

/** With what a worker works: numbers from its seed, names for what it makes, and requests to whatever service answers. */
export class Hand {
  /** What it calls its users; no mark is like it, because an erasure takes away names wherever they stand. */
  readonly name: string;
  readonly random: Random;
  readonly history: History;
  readonly #prefix: string;
  readonly #bases: readonly string[];
  readonly #client: Client;
  #marks = 0;

  constructor(number: number, seed: number, { bases, client, history }: HandOptions) {
    this.name = `Worker ${number}`;
    this.random = new Random(seed * 1000 + number);
    this.history = history;
    this.#prefix = `w${number}`;
    this.#bases = bases;
    this.#client = client;
  }

  mark(): string {
    return `${this.#prefix}.${++this.#marks}`;
  }

  async send(method: Parameters<Client['send']>[1], path: string, options?: Options): Promise<Reply> {
    const base = this.random.pick(this.#bases) ?? '';
    const reply = await this.#client.send(base, method, path, options);
    if (reply.status === 0) await wait(20); // that service is gone at the moment
    return reply;
  }

  /** Also when all is over: what is repeated for ever is answered at some time. */
  async untilAnswered(path: string, options: Options): Promise<Reply> {
    for (let attempt = 0; ; attempt++) {
      const reply = await this.send('POST', path, options);
      // Still running, for somebody whose connection is gone; or not now.
      const isInUse = /key-in-use/.test(JSON.stringify(reply.body) ?? '');
      const isOpen = reply.fate === 'unknown' || isInUse || [0, 429, 503].includes(reply.status);
      if (!isOpen || attempt === 1000) return reply;
      await wait(50);
    }
  }
}
