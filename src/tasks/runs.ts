import type { Run } from './run.ts';
import type { FencedProgress } from './settle.ts';
import type { Renewed } from './upkeep.ts';

/** The attempts of one runner, and its slots: at most so many functions run at once, the others wait for one to end. */
export class Runs {
  readonly #concurrency: number;
  readonly #ended: (run: Run) => void;
  /** Those whose end is not written yet, */
  readonly open = new Set<Run>();
  /** and those of them whose outcome is known. */
  readonly over = new Set<Run>();
  /** Those whose function has not ended, though the attempt may be over, or is still to begin. */
  readonly active = new Set<Run>();
  /** Those that were claimed and have not begun. */
  waiting: Run[] = [];
  #occupied = 0;

  /** `ended` is told when the function of a run has ended. */
  constructor(concurrency: number, ended: (run: Run) => void) {
    this.#concurrency = concurrency;
    this.#ended = ended;
  }

  /** How far those are that have said so since it was written. */
  unsaved(): FencedProgress[] {
    return [...this.open].flatMap(({ unsaved }) => unsaved ?? []);
  }

  /** A kind that only waits for others, and a suspect (see `slots.ts`), begin whatever else runs. */
  add(run: Run): void {
    this.open.add(run);
    this.active.add(run);
    if (run.kind.waits || run.claimed.losses >= 2) this.#start(run, 0);
    else this.waiting.push(run);
  }

  startWaiting(): void {
    let next = 0;
    while (next < this.waiting.length && this.#occupied < this.#concurrency) {
      const run = this.waiting[next++];
      if (run !== undefined && run.outcome === undefined) this.#start(run, 1);
    }
    this.waiting = this.waiting.slice(next);
  }

  #start(run: Run, slots: number): void {
    this.#occupied += slots;
    run.start(() => {
      this.#occupied -= slots;
      this.active.delete(run);
      this.startWaiting();
      this.#ended(run);
    });
  }

  /** The outcome is known. For one that is lost nothing is written. */
  decided(run: Run): void {
    if (run.outcome === 'lost') this.close(run);
    else this.over.add(run);
    if (run.state === 'waiting') this.active.delete(run);
  }

  /** The attempt is over, and that is written. */
  close(run: Run): void {
    this.open.delete(run);
    this.over.delete(run);
  }

  /**
   * Tells those that the database does not know as this runner's any more, or that somebody wants to be cancelled. Gives
   * what it knows and this runner does not.
   */
  compare(renewed: readonly Renewed[]): Renewed[] {
    const own = new Map(renewed.map((one) => [one.id, one]));
    for (const run of this.open) {
      const one = own.get(run.id);
      own.delete(run.id);
      if (one?.attempt !== run.attempt) run.abort('lost');
      else if (one.cancel) run.abort('cancelled');
    }
    return [...own.values()];
  }
}
