/** A loop that is late for less may have met a pause of the collector or a single large request. */
const LATE_MS = 1000;
/** Unless so many come meanwhile. As long as the database is behind, so many are let in at once: more would wait for too long. */
const MANY = 200;
/** What a turn of the loop may have to do: a request that comes meanwhile waits as long, be it served or refused. */
const MOST_WORK_MS = 60;
/** How long a turn should be while requests are refused: whoever is refused has waited for one, or two. */
const TURN_MS = 20;
/** So many are let in whatever it takes, at once and in each turn. */
const FEWEST = 32;
/** When more queries wait for a connection, the database is behind; beyond that none is added. */
const QUERIES = { many: 50, most: 200 };
/** Who came more than so many windows ago does not count: a stream, or who waits for a task, has no end. */
const LONGEST_INSIDE = 10;
/** It is over after so many windows in which nothing was wrong, */
export const CALM_WINDOWS = 10;
/** and, where the loop was late, no more than so many were refused for each that was served. */
const FEW = 0.25;

export type Why = 'event_loop' | 'read_queue';

/**
 * Which requests are let in: all of them, while the event loop and the database keep up.
 *
 * - When the loop is late, no more at once than there is time for: fewer after each of its turns that took longer than it
 *   should, more after each that was shorter, as TCP finds how much it may send. So whoever is refused has waited for a
 *   turn or two, whatever serving and refusing cost.
 * - When the database is behind, no more at once than it serves soon enough.
 */
export class Shedding {
  readonly #maxDelayMs: number;
  #isLate = false;
  #isBehind = false;
  #lateMs = 0;
  #measuredAt = performance.now();
  #calm = 0;
  #admitted = 0;
  #refused = 0;
  #sinceBehind = 0;
  /** When this turn began; Infinity: nobody is inside. */
  #turnAt = Infinity;
  #inTurn = 0;
  #most = MANY;
  #isFull = false;
  #inside = 0;
  #window = 0;
  /** Of those inside, how many came in each of the last windows. */
  readonly #cameIn = new Array<number>(LONGEST_INSIDE).fill(0);

  /** `maxDelayMs`: 0 refuses nothing because the event loop is late. */
  constructor(maxDelayMs: number) {
    this.#maxDelayMs = maxDelayMs;
  }

  /** Whether the loop cannot keep up, and its turns are to be told. */
  get isLate(): boolean {
    return this.#isLate;
  }

  /** Whether there is a limit. */
  get isOver(): boolean {
    return this.#isLate || this.#isBehind;
  }

  /** To be told of each window. */
  measured(delayMs: number, workMs: number, now = performance.now()): void {
    const isLate = this.#maxDelayMs > 0 && (delayMs > this.#maxDelayMs || workMs > MOST_WORK_MS);
    this.#lateMs = isLate ? this.#lateMs + now - this.#measuredAt : 0;
    this.#measuredAt = now;
    const isCalm = !isLate && this.#refused <= this.#admitted * FEW;
    this.#calm = isCalm ? this.#calm + 1 : 0;
    this.#judge(0);
    if (this.#calm >= CALM_WINDOWS) this.#isLate = false;
    if (++this.#sinceBehind >= CALM_WINDOWS) this.#isBehind = false;
    [this.#admitted, this.#refused] = [0, 0];
    const nth = ++this.#window % LONGEST_INSIDE;
    this.#inside -= this.#cameIn[nth] as number;
    this.#cameIn[nth] = 0;
  }

  /** At each request, too: of a flood the second turn is ten times as long as the first, and the third as the second. */
  #judge(waiting: number): void {
    if (waiting > QUERIES.many) [this.#isBehind, this.#sinceBehind] = [true, 0];
    if (this.#isLate) return;
    this.#isLate = this.#lateMs >= LATE_MS || (this.#lateMs > 0 && this.#admitted >= MANY);
    if (this.#isLate) [this.#calm, this.#most] = [0, MANY];
  }

  /** Whether this turn has lasted for long enough. */
  isLong(now = performance.now()): boolean {
    return now - this.#turnAt > TURN_MS;
  }

  /** To be told, while the loop is late, of each of its turns. Gives whether it is to be told of the next. */
  turn(now = performance.now()): boolean {
    if (this.#turnAt !== Infinity) {
      const mostChange = this.#isFull ? 1.1 : 1; // of a limit that nobody met nothing is known
      const change = Math.min(mostChange, Math.max(0.7, TURN_MS / (now - this.#turnAt)));
      this.#most = Math.max(FEWEST, this.#most * change);
    }
    const goesOn = this.#isLate && this.#inside > 0;
    this.#turnAt = goesOn ? now : Infinity;
    this.#inTurn = 0;
    this.#isFull = false;
    return goesOn;
  }

  /** Why the next request is one too many, if it is. `waiting`: queries that wait for a connection to the database. */
  refuses(waiting: number, now = performance.now()): Why | undefined {
    this.#judge(waiting);
    const why = this.#whyNot(waiting, now);
    if (why === undefined) {
      this.#admitted++;
      this.#inTurn++;
    } else this.#refused++;
    return why;
  }

  #whyNot(waiting: number, now: number): Why | undefined {
    if (waiting > QUERIES.most || (this.#isBehind && this.#inside >= MANY)) return 'read_queue';
    if (!this.#isLate) return undefined;
    this.#turnAt = Math.min(this.#turnAt, now);
    const isFull = this.#inside >= this.#most;
    this.#isFull ||= isFull;
    // A thousand clients that are answered at once, and come again at once, would make a turn without an end.
    const isTooLong = now - this.#turnAt > MOST_WORK_MS && this.#inTurn >= FEWEST;
    return isFull || isTooLong ? 'event_loop' : undefined;
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
