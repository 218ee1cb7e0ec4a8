/** By how much the refused share grows and shrinks for each 100 ms: from nothing to all, and back, in two seconds. */
const STEP = 0.05;
/** A window may last long when the loop is late; it counts no more than this. */
const MOST_AT_ONCE = 0.3;
/** Some are always served, or nothing would tell when it is over. */
const MOST_REFUSED = 0.95;
/** One late window may be a pause of the collector or a single large request. */
const LATE_WINDOWS = 2;

/**
 * Which share of the requests is refused. It grows while the event loop is late and shrinks while it is not, so that it
 * settles where what is let in can just be served. All or nothing would swing between idle and overloaded.
 */
export class Shedding {
  readonly #maxDelayMs: number;
  #share = 0;
  #late = 0;
  #owed = 0;
  #measuredAt = performance.now();

  /** `maxDelayMs`: 0 refuses nothing, ever. */
  constructor(maxDelayMs: number) {
    this.#maxDelayMs = maxDelayMs;
  }

  get share(): number {
    return this.#share;
  }

  /** To be told of each window. One may last longer than it should, because the loop is late. */
  measured(delayMs: number, now = performance.now()): void {
    const step = Math.min(MOST_AT_ONCE, (STEP * (now - this.#measuredAt)) / 100);
    this.#measuredAt = now;
    if (this.#maxDelayMs === 0) return;
    if (delayMs <= this.#maxDelayMs) {
      this.#late = 0;
      this.#share = Math.max(0, this.#share - step);
    } else if (++this.#late >= LATE_WINDOWS) {
      this.#share = Math.min(MOST_REFUSED, this.#share + step);
    }
  }

  /** Whether the next request is one of those. Evenly spread, without chance. */
  refuses(): boolean {
    if (this.#share === 0) return false;
    this.#owed += this.#share;
    if (this.#owed < 1) return false;
    this.#owed--;
    return true;
  }
}
