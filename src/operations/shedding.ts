/** A loop that is late for less may have met a pause of the collector or a single large request. */
const LATE_MS = 1000;
/** What a turn of the loop may have to do: a request that comes meanwhile waits as long, be it served or refused. */
const MOST_WORK_MS = 60;
/** How long a turn should be while requests are refused: whoever is refused has waited for one, or two. */
const TURN_MS = 30;
/** As many clients as wait for each of their answers are served at once in any case, */
const FEWEST_INSIDE = 32;
/** and so many when turns are short, as where the database is what they wait for: more would wait for longer than clients do. */
const MOST_INSIDE = 200;
/** Who came more than so many windows ago does not count: a stream, or who waits for a task, has no end. */
const LONGEST_INSIDE = 10;
/** It is over after so many windows in which the loop was in time and few were refused, beside those that were served. */
export const CALM_WINDOWS = 10;
const FEW = 0.25;

/**
 * Which requests are let in. While the event loop keeps up, all of them. When it does not, no more than so many at once,
 * by the length of its turns: fewer when they take longer than they should, more when they are shorter, as TCP finds how
 * much it may send. So nobody waits for an answer for longer than a turn or two, whatever serving and refusing cost.
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
  #most = MOST_INSIDE;
  #isFull = false;
  #inside = 0;
  #window = 0;
  /** Of those inside, how many came in each of the last windows. */
  readonly #cameIn = new Array<number>(LONGEST_INSIDE).fill(0);

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
    const isCalm = !isLate && this.#refused <= this.#admitted * FEW;
    this.#calm = isCalm ? this.#calm + 1 : 0;
    this.#judge(false, now);
    if (this.#calm >= CALM_WINDOWS) this.#isOver = false;
    [this.#admitted, this.#refused] = [0, 0];
    const nth = ++this.#window % LONGEST_INSIDE;
    this.#inside -= this.#cameIn[nth] as number;
    this.#cameIn[nth] = 0;
  }

  /** At each request, too: of a flood the second turn is ten times as long as the first, and the third as the second. */
  #judge(isBehind: boolean, now: number): void {
    const isTooMuch =
      isBehind || this.#lateMs >= LATE_MS || (this.#lateMs > 0 && this.#admitted >= MOST_INSIDE);
    if (!isTooMuch || this.#isOver) return;
    [this.#isOver, this.#calm, this.#most, this.#turnAt] = [true, 0, MOST_INSIDE, now];
  }

  /** Whether this turn has lasted for long enough. */
  isLong(now = performance.now()): boolean {
    return now - this.#turnAt > TURN_MS;
  }

  /** To be told, while it is over, of each turn of the loop. */
  turn(now = performance.now()): void {
    const mostChange = this.#isFull ? 1.1 : 1; // of a limit that nobody met nothing is known
    const change = Math.min(mostChange, Math.max(0.7, TURN_MS / (now - this.#turnAt)));
    this.#most = Math.min(MOST_INSIDE, Math.max(FEWEST_INSIDE, this.#most * change));
    this.#turnAt = now;
    this.#isFull = false;
  }

  /** Whether the next request is one too many. `isBehind`: the database does not keep up with what it is asked. */
  refuses(isBehind = false, now = performance.now()): boolean {
    this.#judge(isBehind, now);
    const isFull = this.#inside >= this.#most;
    if (this.#isOver && (isFull || now - this.#turnAt > MOST_WORK_MS)) {
      this.#isFull ||= isFull;
      this.#refused++;
      return true;
    }
    this.#admitted++;
    return false;
  }

  /** Somebody is let in; gives what is to be called, once, when they leave. */
  enters(): () => void {
    const window = this.#window;
    this.#count(window, 1);
    return () => {
      if (this.#window - window < LONGEST_INSIDE) this.#count(window, -1);
    };
  }

  #count(window: number, change: 1 | -1): void {
    const nth = window % LONGEST_INSIDE;
    this.#inside += change;
    this.#cameIn[nth] = (this.#cameIn[nth] as number) + change;
  }
}
