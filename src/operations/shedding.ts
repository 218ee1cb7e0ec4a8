/** A loop that is late for less may have met a pause of the collector or a single large request. */
const LATE_MS = 1000;
/** Unless so many came in one window. */
const MANY = 300;
/** What a turn of the loop may have to do: a request that comes meanwhile waits as long, be it served or refused. */
const MOST_WORK_MS = 60;
/** How long a turn should be while requests are refused: whoever is refused has waited for one. */
const TURN_MS = 20;
/** In the first so much of each turn some are always let in, or nothing would tell when it is over. */
const LEAST_MS = 3;
/** Of those that were let in meanwhile, so many are served at once while turns are long: more would wait for each other, */
const MOST_INSIDE = 50;
/** and so many while the loop has little to do, and waits for the database: more would wait for longer than clients do, */
const MOST_WAITING = 200;
/** unless they take so long: a stream, or who waits for a task, has no end. */
const LONGEST_INSIDE_MS = 1000;
/** After so many windows in which nothing was refused, nothing is. */
export const CALM_WINDOWS = 10;

/**
 * Which requests are let in. While the event loop keeps up, all of them. When it does not, those that are read in the first
 * part of each of its turns, which leaves as much of the turn as the refusals of the last one took. So the loop does
 * nothing but serve and refuse, whatever either costs, and nobody waits for an answer for longer than a turn or two.
 */
export class Shedding {
  readonly #maxDelayMs: number;
  #isOver = false;
  #lateMs = 0;
  #measuredAt = performance.now();
  #calm = 0;
  #admitted = 0;
  #refused = 0;
  #turnAt = -Infinity;
  #turnMs = 0;
  #admitsMs = LEAST_MS;
  #inside = 0;

  /** `maxDelayMs`: 0 refuses nothing, ever. */
  constructor(maxDelayMs: number) {
    this.#maxDelayMs = maxDelayMs;
  }

  /** Whether more come than can be served. */
  get isOver(): boolean {
    return this.#isOver;
  }

  /** To be told of each window. */
  measured(delayMs: number, workMs: number, now = performance.now()): void {
    const isLate = this.#maxDelayMs > 0 && (delayMs > this.#maxDelayMs || workMs > MOST_WORK_MS);
    this.#lateMs = isLate ? this.#lateMs + now - this.#measuredAt : 0;
    this.#measuredAt = now;
    this.#calm = this.#refused === 0 ? this.#calm + 1 : 0;
    const isMany = this.#admitted >= MANY;
    [this.#admitted, this.#refused] = [0, 0];
    if (this.#isOver) this.#isOver = isLate || this.#calm < CALM_WINDOWS;
    else if (isLate && (isMany || this.#lateMs >= LATE_MS)) [this.#isOver, this.#calm] = [true, 0];
  }

  /** To be told, while it is over, of each turn of the loop. */
  turn(now = performance.now()): void {
    this.#turnMs = now - this.#turnAt;
    const refusingMs = Math.max(0, this.#turnMs - this.#admitsMs);
    this.#admitsMs = Math.max(LEAST_MS, TURN_MS - refusingMs);
    this.#turnAt = now;
  }

  /** Whether the next request is one too many. */
  refuses(now?: number): boolean {
    if (this.#isOver && (this.#isFull() || this.#isLate(now))) {
      this.#refused++;
      return true;
    }
    this.#admitted++;
    return false;
  }

  #isFull(): boolean {
    return this.#inside >= (this.#turnMs > LEAST_MS ? MOST_INSIDE : MOST_WAITING);
  }

  #isLate(now = performance.now()): boolean {
    return now - this.#turnAt > this.#admitsMs;
  }

  /** Somebody is let in, while it is over; gives what is to be called when they leave. */
  enters(): () => void {
    this.#inside++;
    let isInside = true;
    const leaves = () => {
      if (isInside) this.#inside--;
      isInside = false;
      clearTimeout(timer);
    };
    const timer = setTimeout(leaves, LONGEST_INSIDE_MS).unref();
    return leaves;
  }
}
