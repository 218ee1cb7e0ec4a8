import type { Room } from './claim.ts';
import type { TaskKind } from './kinds.ts';
import type { Run } from './run.ts';

/**
 * How long a suspect, a task whose runners have vanished twice in a row, has the process for itself: what is not
 * claimed meanwhile cannot be taken down with it. The same time is given to what runs to end before it.
 */
const QUARANTINE_MS = 10_000;

/**
 * What a runner may claim. A task that kills its process takes those that run beside it down as well, so all of them
 * are suspects after the second time: they then run one at a time. The innocent succeed, the culprit dies alone.
 * A kind that only waits for others takes no slot and is no suspect.
 */
export class Slots {
  readonly #kinds: readonly TaskKind[];
  readonly #concurrency: number;
  #drainingSince: number | undefined;

  constructor(kinds: readonly TaskKind[], concurrency: number) {
    this.#kinds = kinds;
    this.#concurrency = concurrency;
  }

  /** `suspectsWait`: whether some are queued. Undefined when there is no room at all. */
  room(runs: Iterable<Run>, suspectsWait: boolean): Room | undefined {
    const running = [...runs].filter((run) => !run.ended && !run.kind.waits);
    const waiting = this.#kinds.filter((kind) => kind.waits).map(({ kind }) => kind);
    const now = performance.now();
    const suspect = running.find((run) => run.claimed.losses >= 2);
    if (suspect !== undefined && now - suspect.startedAt < QUARANTINE_MS) {
      return { free: 0, kinds: [], waiting, suspects: false };
    }
    if (suspectsWait && suspect === undefined) {
      this.#drainingSince ??= now;
      if (running.length > 0 && now - this.#drainingSince < QUARANTINE_MS) {
        return { free: 0, kinds: [], waiting, suspects: false };
      }
      this.#drainingSince = undefined;
      return { free: 1, kinds: this.#ofEachKind(running, 1), waiting: [], suspects: true };
    }
    const free = this.#concurrency - running.length;
    const kinds = free > 0 ? this.#ofEachKind(running, free) : [];
    return { free, kinds, waiting, suspects: false };
  }

  #ofEachKind(running: readonly Run[], free: number): Room['kinds'] {
    return this.#kinds
      .filter((kind) => !kind.waits)
      .map(({ kind, concurrency }) => ({
        kind,
        most: Math.min(free, concurrency - running.filter((run) => run.kind.kind === kind).length),
      }))
      .filter(({ most }) => most > 0);
  }
}
