import { Aborted } from './kinds.ts';
import type { Run } from './run.ts';
import type { Renewed } from './upkeep.ts';

interface Listener {
  /** Its outcome is known. */
  over(run: Run): void;
  /** Its function has ended. */
  ended(run: Run): void;
}

/** The attempts of one runner, and its slots: at most so many functions run at once, the others wait for one to end. */
export class Runs {
  readonly #concurrency: number;
  readonly #listener: Listener;
  readonly #open = new Set<Run>();
  #waiting: Run[] = [];
  #occupied = 0;
  /** Runs whose attempt is over and whose function goes on regardless: they keep their slots. */
  readonly #zombies = new Set<Run>();

  constructor(concurrency: number, listener: Listener) {
    this.#concurrency = concurrency;
    this.#listener = listener;
  }

  get size(): number {
    return this.#open.size;
  }

  /** Those whose end is not written yet. */
  all(): Run[] {
    return [...this.#open];
  }

  /** Those whose function has not ended, or is still to begin. */
  *active(): Iterable<Run> {
    for (const run of this.#open)
      if (run.state === 'running' || (run.state === 'waiting' && run.outcome === undefined)) yield run;
    yield* this.#zombies;
  }

  /** A kind that only waits for others, and a suspect (see `slots.ts`), begin whatever else runs. */
  add(run: Run): void {
    this.#open.add(run);
    if (run.kind.waits || run.claimed.losses >= 2) this.#start(run, 0);
    else this.#waiting.push(run);
  }

  /** Those that were claimed and have not begun. */
  waiting(): readonly Run[] {
    return this.#waiting;
  }

  startWaiting(): void {
    let next = 0;
    while (next < this.#waiting.length && this.#occupied < this.#concurrency) {
      const run = this.#waiting[next++];
      if (run?.outcome === undefined && run !== undefined) this.#start(run, 1);
    }
    this.#waiting = this.#waiting.slice(next);
  }

  #start(run: Run, slots: number): void {
    this.#occupied += slots;
    const ended = () => {
      this.#occupied -= slots;
      this.#zombies.delete(run);
      this.startWaiting();
      this.#listener.ended(run);
    };
    run.start(ended).then(() => this.#listener.over(run));
  }

  /** The attempt is over, and that is written. */
  close(run: Run): void {
    this.#open.delete(run);
    if (run.state === 'running') this.#zombies.add(run);
  }

  /**
   * Tells those that the database does not know as this runner's any more, or that somebody wants to be cancelled. Gives
   * what it knows and this runner does not.
   */
  compare(renewed: readonly Renewed[]): Renewed[] {
    const own = new Map(renewed.map((one) => [one.id, one]));
    for (const run of this.#open) {
      const one = own.get(run.claimed.id);
      own.delete(run.claimed.id);
      if (one?.attempt !== run.claimed.attempt) run.abort(new Aborted('lost', 'The lease is lost.'));
      else if (one.cancel) run.abort(cancelRequested());
    }
    return [...own.values()];
  }
}

export function cancelRequested(): Aborted {
  return new Aborted('cancelled', 'Somebody asked for it to be cancelled.');
}
