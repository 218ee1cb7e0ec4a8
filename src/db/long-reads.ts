import { setImmediate as turn } from 'node:timers/promises';
import pLimit from 'p-limit';
import { Unavailable } from '../errors.ts';

/** As many rows take a millisecond to be read and written here. */
const MANY_ROWS = 250;
/** Beyond them the next would wait for too long. */
const MOST_WAITING = 50;
/** As for a connection to PostgreSQL. */
const LONGEST_WAIT_MS = 2000;

/**
 * What reads many rows at once, such as a list of a thousand users, a few at a time. Else each turn of the event loop had
 * as many of them as have come, 40 ms of ten lists, and on PostgreSQL a look-up waited for a connection behind hundreds.
 * Where more lists are asked for than can be read, only lists are refused.
 */
export class LongReads {
  readonly #limit: ReturnType<typeof pLimit>;
  readonly #waiting = new Set<NodeJS.Timeout>();

  /** `atOnce`: so many, each of them for a turn of the event loop at least. */
  constructor(atOnce: number) {
    this.#limit = pLimit(atOnce);
  }

  get waiting(): number {
    return this.#waiting.size;
  }

  /**
   * Runs `work`, which reads up to so many rows.
   * @throws {Unavailable} `too-busy` when too many wait, or this one has waited for too long
   */
  run<T>(rows: number, work: () => Promise<T>): Promise<T> {
    if (rows < MANY_ROWS) return Promise.try(work);
    if (this.waiting >= MOST_WAITING) return Promise.reject(tooBusy());
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    const late = setTimeout(() => {
      this.#waiting.delete(late);
      reject(tooBusy());
    }, LONGEST_WAIT_MS);
    this.#waiting.add(late);
    this.#limit(async () => {
      if (!this.#waiting.delete(late)) return;
      clearTimeout(late);
      resolve(Promise.try(work));
      await promise.catch(() => {}); // told to whoever asked
      await turn();
    });
    return promise;
  }
}

function tooBusy(): Unavailable {
  return new Unavailable('too-busy', 'More long lists are asked for than can be read.');
}
