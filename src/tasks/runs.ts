import { Aborted } from './kinds.ts';
import type { Run } from './run.ts';
import type { Renewed } from './upkeep.ts';

/** The attempts of one runner. */
export class Runs {
  readonly #open = new Set<Run>();
  /** Runs whose attempt is over and whose function goes on regardless: they keep their slots. */
  readonly #zombies = new Set<Run>();

  get size(): number {
    return this.#open.size;
  }

  /** Those whose end is not written yet. */
  all(): Run[] {
    return [...this.#open];
  }

  /** Those whose function has not ended. */
  *active(): Iterable<Run> {
    for (const run of this.#open) if (!run.ended) yield run;
    yield* this.#zombies;
  }

  add(run: Run): void {
    this.#open.add(run);
  }

  /** The attempt is over, and that is written. */
  close(run: Run): void {
    this.#open.delete(run);
    if (!run.ended) this.#zombies.add(run);
  }

  /** The function has ended. */
  end(run: Run): void {
    this.#zombies.delete(run);
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
