import type { Room } from './claim.ts';
import type { TaskKind } from './kinds.ts';
import type { Run } from './run.ts';
import { MOST_AT_ONCE } from './runner-options.ts';

/**
 * How long a suspect, a task whose runners have vanished twice in a row, has the process for itself: what is not
 * claimed meanwhile cannot be taken down with it. The same time is given to what runs to end before it.
 */
const QUARANTINE_MS = 10_000;

/** At most so many tasks are claimed before there is a slot for them, ... */
const MOST_AHEAD = 500;
/** ... as long as what was claimed last has begun, and all but a few have ended, within this time. */
const QUICK_MS = 50;

/**
 * What a runner may claim. A task that kills its process takes those that run beside it down as well, so all of them
 * are suspects after the second time: they then run one at a time. The innocent succeed, the culprit dies alone.
 * A kind that only waits for others takes no slot and is no suspect.
 *
 * Each claim costs a commit. While tasks end sooner than that takes, more are claimed than there are slots: twice as many
 * each time, and none as soon as one of them takes its time.
 */
export class Slots {
  readonly #slotted: readonly TaskKind[];
  /** The names of the kinds that only wait. */
  readonly waiting: readonly string[];
  readonly #concurrency: number;
  #drainingSince: number | undefined;
  /** Until then suspects are passed over: the last look for one that could run found none. */
  #noSuspectUntil = -Infinity;
  #ahead = 0;
  #claimed = { count: 0, at: -Infinity, ended: 0 };

  constructor(kinds: readonly TaskKind[], concurrency: number) {
    this.#slotted = kinds.filter(({ waits }) => !waits);
    this.waiting = kinds.filter(({ waits }) => waits).map(({ kind }) => kind);
    this.#concurrency = concurrency;
  }

  /** `suspectsWait`: whether some are queued. */
  room(runs: Iterable<Run>, suspectsWait: boolean): Room {
    const running = countRunning(runs);
    const { waiting } = this;
    const now = performance.now();
    const none = { free: 0, kinds: [], waiting, suspects: false };
    const { suspect } = running;
    if (suspect !== undefined && now - suspect.claimedAt < QUARANTINE_MS) return none;
    if (suspectsWait && suspect === undefined && now > this.#noSuspectUntil) {
      this.#drainingSince ??= now;
      if (running.count > 0 && now - this.#drainingSince < QUARANTINE_MS) return none;
      this.#drainingSince = undefined;
      return { free: 1, kinds: this.#ofEachKind(running, 1), waiting: [], suspects: true };
    }
    const free = this.#concurrency + this.#aheadOf(running, now) - running.count;
    const some = Math.min(free, MOST_AT_ONCE);
    return { free: some, kinds: this.#ofEachKind(running, some), waiting, suspects: false };
  }

  /** So many of them are claimed now. */
  claimed(room: Room, count: number): void {
    if (count < room.free) this.#ahead = 0; // no more of them wait
    if (room.suspects && count === 0) this.#noSuspectUntil = performance.now() + QUARANTINE_MS;
    if (count > 0) this.#claimed = { count, at: performance.now(), ended: 0 };
  }

  /** One of those that were claimed has ended. */
  ended(): void {
    this.#claimed.ended++;
  }

  #aheadOf(running: Running, now: number): number {
    if (running.hasWaiting) return 0;
    const { count, at, ended } = this.#claimed;
    const wereQuick = now - at < QUICK_MS && ended >= Math.max(1, count - this.#concurrency);
    this.#ahead = wereQuick ? Math.min(MOST_AHEAD, Math.max(this.#concurrency, 2 * this.#ahead)) : 0;
    return this.#ahead;
  }

  #ofEachKind(running: Running, free: number): Room['kinds'] {
    const mostOf = ({ kind, concurrency }: TaskKind) =>
      Math.min(free, concurrency - (running.ofKind.get(kind) ?? 0));
    return this.#slotted
      .map((kind) => ({ kind: kind.kind, most: mostOf(kind) }))
      .filter(({ most }) => most > 0);
  }
}

interface Running {
  count: number;
  ofKind: Map<string, number>;
  suspect: Run | undefined;
  /** Whether some have not begun. */
  hasWaiting: boolean;
}

/** Without those that take no slot. In one pass that makes no arrays: a thousand may run, and it is done each turn. */
function countRunning(runs: Iterable<Run>): Running {
  const running: Running = { count: 0, ofKind: new Map(), suspect: undefined, hasWaiting: false };
  for (const run of runs) {
    const { kind, waits } = run.kind;
    if (waits) continue;
    running.count++;
    running.ofKind.set(kind, (running.ofKind.get(kind) ?? 0) + 1);
    if (run.claimed.losses >= 2) running.suspect ??= run;
    if (run.state === 'waiting') running.hasWaiting = true;
  }
  return running;
}
