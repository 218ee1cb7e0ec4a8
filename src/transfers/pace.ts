import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises';

/** A rest is never longer: its step may have waited for a lock. */
const LONGEST_REST_MS = 1000;

export interface PaceOptions {
  /** How much is done at once while others are served, */
  busy: number;
  /** and while nobody else asks. */
  quiet: number;
  /** While others are served, a rest after each step: so many times as long as that took. */
  rest: number;
}

/** How much of a long work is done at once, and how soon the next of it begins: by whether others are served meanwhile. */
export class Pace {
  readonly #isBusy: () => boolean;
  readonly #options: PaceOptions;

  constructor(isBusy: () => boolean, options: PaceOptions) {
    this.#isBusy = isBusy;
    this.#options = options;
  }

  /** Of the next step. */
  get size(): number {
    return this.#isBusy() ? this.#options.busy : this.#options.quiet;
  }

  /** After a step that took `ms`. What has come meanwhile goes first in any case. */
  async rest(ms: number, signal?: AbortSignal): Promise<void> {
    if (this.#isBusy())
      await sleep(Math.min(ms * this.#options.rest, LONGEST_REST_MS), undefined, signal && { signal });
    else await turn();
  }
}
