import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises';

/** Other requests are answered: what can wait then rests after each step, so many times as long as that took. */
const REST = 2;

/** How much of a long work is done at once, and how soon the next of it begins: by whether others are served meanwhile. */
export class Pace {
  readonly #isBusy: () => boolean;
  readonly #sizes: { busy: number; quiet: number };

  constructor(isBusy: () => boolean, sizes: { busy: number; quiet: number }) {
    this.#isBusy = isBusy;
    this.#sizes = sizes;
  }

  /** Of the next step. */
  get size(): number {
    return this.#isBusy() ? this.#sizes.busy : this.#sizes.quiet;
  }

  /** After a step that took `ms`. What has come meanwhile goes first in any case. */
  async rest(ms: number): Promise<void> {
    if (this.#isBusy()) await sleep(ms * REST);
    else await turn();
  }
}
