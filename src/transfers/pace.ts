import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises';

/** While others are served, a rest after each step: so many times as long as that took, */
const REST = 6;
/** but no longer than this: it may have waited for a lock. */
const LONGEST_REST_MS = 1000;

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
  async rest(ms: number, signal?: AbortSignal): Promise<void> {
    if (this.#isBusy()) await sleep(Math.min(ms * REST, LONGEST_REST_MS), undefined, signal && { signal });
    else await turn();
  }
}
