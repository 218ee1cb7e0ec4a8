/** By how much the rate falls while the loop is late and grows while it is not, for each 100 ms. */
const [DOWN, UP] = [0.85, 1.1];
/** A window may last long when the loop is late; it counts for no more than so many. */
const MOST_AT_ONCE = 3;
/** So many requests in a late window are too many at once ... */
const MANY = 300;
/** ... and when there are fewer it may be a start, a pause of the collector or a large request, unless it goes on. */
const LATE_WINDOWS = 10;
/** What a turn of the loop may have to do: a request that comes meanwhile waits as long, be it served or refused. */
const MOST_WORK_MS = 60;
/** After so many windows in which nothing was refused, nothing is. */
const CALM_WINDOWS = 10;
/** Some a second are always served, or nothing would tell when it is over. */
const LEAST_RATE = 20;
/** What has not been used is kept for so long: what is let in at once is what the next turn of the loop has to do. */
const BURST_MS = 25;

/**
 * How many requests a second are let in. While the event loop keeps up, all of them. When it does not, as many as were
 * just served, then fewer while it is late, and more while it is not: that settles where what is let in can just be
 * served. (A share of what comes would not do: of ten times too many, a twentieth more is half of what can be served.)
 */
export class Shedding {
  readonly #maxDelayMs: number;
  /** A second; Infinity while nothing is refused. */
  #rate = Infinity;
  #late = 0;
  #calm = 0;
  #admitted = 0;
  #refused = 0;
  #tokens = 0;
  #filledAt = 0;
  #measuredAt = performance.now();

  /** `maxDelayMs`: 0 refuses nothing, ever. */
  constructor(maxDelayMs: number) {
    this.#maxDelayMs = maxDelayMs;
  }

  get rate(): number {
    return this.#rate;
  }

  /** To be told of each window. One may last longer than it should, because the loop is late. */
  measured(delayMs: number, workMs: number, now = performance.now()): void {
    const windows = Math.min(MOST_AT_ONCE, (now - this.#measuredAt) / 100);
    const isMany = this.#admitted >= MANY;
    const served = (this.#admitted / (now - this.#measuredAt)) * 1000;
    const isLate = this.#maxDelayMs > 0 && (delayMs > this.#maxDelayMs || workMs > MOST_WORK_MS);
    this.#late = isLate ? this.#late + 1 : 0;
    this.#calm = this.#refused === 0 ? this.#calm + 1 : 0;
    [this.#measuredAt, this.#admitted, this.#refused] = [now, 0, 0];
    if (this.#rate < Infinity && !isLate && this.#calm >= CALM_WINDOWS) this.#rate = Infinity;
    if (this.#rate < Infinity) {
      this.#rate = Math.max(LEAST_RATE, this.#rate * (isLate ? DOWN : UP) ** windows);
    } else if (isLate && (isMany || this.#late >= LATE_WINDOWS)) {
      this.#rate = Math.max(LEAST_RATE, served * DOWN);
      [this.#calm, this.#tokens, this.#filledAt] = [0, 0, now];
    }
  }

  /** Whether the next request is one too many. */
  refuses(at?: number): boolean {
    if (this.#rate < Infinity) {
      const now = at ?? performance.now();
      const most = Math.max(1, (this.#rate * BURST_MS) / 1000);
      this.#tokens = Math.min(most, this.#tokens + ((now - this.#filledAt) * this.#rate) / 1000);
      this.#filledAt = now;
      if (this.#tokens < 1) {
        this.#refused++;
        return true;
      }
      this.#tokens--;
    }
    this.#admitted++;
    return false;
  }
}
