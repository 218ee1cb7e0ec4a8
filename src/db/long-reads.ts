import { setImmediate as turn } from 'node:timers/promises';
import pLimit from 'p-limit';
import { Shed } from '../errors.ts';

/** As many rows take a millisecond to be read and written here. */
const MANY_ROWS = 250;
/** Beyond them the next would wait for too long. */
const MOST_WAITING = 50;
/** As for a connection to PostgreSQL. */
const LONGEST_WAIT_MS = 2000;

/**
 * What reads many rows at once, such as a list of a thousand users, a few at a time. Else each turn of the event loop had
 * as many of them as have come, 40 ms of ten lists, and on PostgreSQL a look-up waited for a connection behind hundreds.
 * Where more lists are asked for than can be read, lists are the first to be refused.
 */
export class LongReads {
  readonly #limit: ReturnType<typeof pLimit>;
  readonly #longestWaitMs: number;
  readonly #waiting = new Set<() => void>();
  /** How many have been refused so far. */
  refused = 0;

  /** `atOnce`: so many, each of them for a turn of the event loop at least. */
  constructor(atOnce: number, longestWaitMs = LONGEST_WAIT_MS) {
    this.#limit = pLimit(atOnce);
    this.#longestWaitMs = longestWaitMs;
  }

  get waiting(): number {
    return this.#waiting.size;
  }

  /**
   * Runs `work`, which reads up to so many rows. It is not begun any more when `signal` is aborted: nobody waits for it.
   * @throws {Shed} `too-busy` when too many wait, or this one has waited for too long
   */
  run<T>(rows: number, work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    if (rows < MANY_ROWS) return Promise.try(work);
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    const refuse = () => {
      this.refused++;
      reject(tooBusy());
    };
    if (this.waiting >= MOST_WAITING || signal?.aborted) {
      refuse();
      return promise;
    }
    const leave = () => {
      clearTimeout(late);
      signal?.removeEventListener('abort', leaveRefused);
      return this.#waiting.delete(leave);
    };
    const leaveRefused = () => {
      leave();
      refuse();
    };
    const late = setTimeout(leaveRefused, this.#longestWaitMs);
    signal?.addEventListener('abort', leaveRefused);
    this.#waiting.add(leave);
    this.#limit(async () => {
      if (!leave()) return;
      resolve(Promise.try(work));
      await promise.catch(() => {}); // told to whoever asked
      await turn();
    });
    return promise;
  }
}

function tooBusy(): Shed {
  const most = MANY_ROWS - 1;
  return new Shed(
    'too-busy',
    `More long lists are asked for than can be read. Ask for ${most} at a time, or come again.`,
  );
}
