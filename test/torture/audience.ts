import { setTimeout as wait } from 'node:timers/promises';
import { type Follower, followThrough } from '../support/follow.ts';
import type { Change } from '../support/log.ts';
import type { Owner } from '../support/owner.ts';
import { startReceiver } from '../support/receiver.ts';
import type { Client } from './client.ts';
import { type Taken, take } from './log-invariants.ts';
import { Random } from './random.ts';

/** How long those who listen may need for the last change, when all is over. */
const WITHIN_MS = 60_000;

/** All that they saw. */
export interface Heard {
  followed: Change[][];
  taken: Taken[];
  /** How followers were answered that may not be. */
  strange: string[];
}

/**
 * Those who are to see everything: a follower whose stream is cut again and again and goes on elsewhere, one that stays
 * where it is for as long as it can, and a webhook.
 */
export class Audience {
  readonly #bases: readonly string[];
  readonly #taken: Taken[] = [];
  readonly #follows: Promise<Change[]>[];
  #head = Number.POSITIVE_INFINITY;
  #isOver = false;
  readonly #strange: string[] = [];

  constructor(bases: readonly string[], seed: number) {
    this.#bases = bases;
    const random = new Random(seed);
    const isDone = (lastEventId: string) => this.#isOver || Number(lastEventId) >= this.#head;
    this.#follows = [
      followThrough(bases, isDone, (follower) => {
        const cut = setTimeout(() => follower.cut(), random.between(50, 1500));
        void follower.ended.then(() => clearTimeout(cut));
        this.#hear(follower);
      }),
      followThrough([...bases].reverse(), isDone, (follower) => this.#hear(follower)),
    ];
  }

  /** Makes a webhook, and gives its id. It takes what `isTaken` says, and answers 500 to the rest. */
  async listen(owner: Owner, client: Client, isTaken: () => boolean = () => true): Promise<number> {
    const taken: Taken = { ids: new Map(), changes: [] };
    this.#taken.push(taken);
    const receiver = await startReceiver(owner, ({ id, body: { data } }, response) => {
      receiver.received.length = 0;
      const isOk = isTaken();
      response.writeHead(isOk ? 204 : 500).end();
      if (isOk) take(taken, id, data);
    });
    const made = await client.send(this.#bases[0] ?? '', 'POST', '/webhooks', {
      json: { url: receiver.url },
    });
    if (made.status !== 201) throw new Error(`no webhook: ${made.status}`);
    return (made.body as { id: number }).id;
  }

  #hear({ answered }: Follower): void {
    const judge = ({ statusCode = 0 }) => {
      if (![200, 429, 503].includes(statusCode)) this.#strange.push(`a follower was answered ${statusCode}`);
    };
    answered.then(judge, () => {}); // there may be nobody to answer
  }

  /** Waits until all have seen all there is, for a while. */
  async finish(log: readonly Change[], withinMs = WITHIN_MS): Promise<Heard> {
    this.#head = log.at(-1)?.position ?? 0;
    const until = performance.now() + withinMs;
    const follows = Promise.all(this.#follows);
    const isBehind = () => this.#taken.some(({ ids }) => log.some(({ position }) => !ids.has(position)));
    while (isBehind() && performance.now() < until) await wait(50);
    await Promise.race([follows, wait(Math.max(1000, until - performance.now()), undefined, { ref: false })]);
    this.#isOver = true; // who is behind now stays behind
    return { followed: await follows, taken: this.#taken, strange: this.#strange };
  }
}
