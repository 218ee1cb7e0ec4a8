import DataLoader from 'dataloader';
import type { Bell } from '../db/bell.ts';
import { isAmong, MAX_ID } from '../db/dialect.ts';
import type { Reader } from '../db/reader.ts';
import { type Tally, tallyChildren } from './children.ts';
import { CHANGED } from './topics.ts';
import { LISTED_COLUMNS, type Row, shown, TASK_COLUMNS, type TaskView } from './view.ts';

/** Behind the bell: how long a change may go unnoticed when nobody rang, or nobody heard it. */
const LOOK_MS = 1000;
/** A burst of changes is looked at once in this time, not once for each. */
const LEAST_MS = 20;
/** Children are counted at any change, and on SQLite all else waits meanwhile: then nobody counts for so many times as long. */
const REST_FACTOR = 10;
/** But no longer: a count that hung on a dead connection for 20 s would else hold up all who wait for 200. */
const LONGEST_REST_MS = 1000;

/**
 * For those who wait for tasks: requests, event streams, a task that waits for its children. All are woken at once, and
 * what they then ask for is one statement.
 */
export class Watch {
  readonly #whole: DataLoader<number, TaskView | undefined>;
  readonly #short: DataLoader<number, TaskView | undefined>;
  readonly #tallies: DataLoader<number, Tally>;
  /** Until when nobody counts children. */
  #rest: Promise<void> = Promise.resolve();
  #next: PromiseWithResolvers<void> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #wokenAt = 0;
  #dueAt = Infinity;
  readonly #off: () => void;

  constructor(reader: Reader, bell: Bell) {
    this.#whole = shared((ids) => findTasks(reader, TASK_COLUMNS, ids));
    this.#short = shared((ids) => findTasks(reader, LISTED_COLUMNS, ids));
    this.#tallies = shared((ids) => this.#tally(reader, ids));
    this.#off = bell.on(CHANGED, () => this.#wakeSoon(LEAST_MS));
  }

  /** The task as it is now. */
  find(id: number): Promise<TaskView | undefined> {
    return this.#whole.load(id);
  }

  /** The same without `input` and `result`, which may take megabytes: for those who look again and again. */
  glance(id: number): Promise<TaskView | undefined> {
    return this.#short.load(id);
  }

  /** How far the children of a task are. All who ask share one count, which may have to wait for its turn. */
  async tally(parentId: number, signal: AbortSignal): Promise<Tally> {
    await orAborted(this.#rest, signal);
    signal.throwIfAborted();
    return this.#tallies.load(parentId);
  }

  /**
   * Resolves when any task may have changed, and after a second at the latest; at once when `signal` is aborted. To be
   * called before one looks: a change right after the look would go by otherwise.
   */
  next(signal?: AbortSignal): Promise<void> {
    if (signal?.aborted) return Promise.resolve();
    this.#next ??= Promise.withResolvers();
    const { promise } = this.#next;
    this.#wakeSoon(LOOK_MS);
    return signal === undefined ? promise : orAborted(promise, signal);
  }

  stop(): void {
    this.#off();
    clearTimeout(this.#timer);
    this.#next?.resolve();
  }

  async #tally(reader: Reader, parentIds: readonly number[]): Promise<Tally[]> {
    const rest = Promise.withResolvers<void>();
    this.#rest = rest.promise;
    const began = performance.now();
    try {
      return await tallyChildren(reader, parentIds);
    } finally {
      const restMs = Math.min(REST_FACTOR * (performance.now() - began), LONGEST_REST_MS);
      setTimeout(rest.resolve, restMs).unref();
    }
  }

  #wakeSoon(ms: number): void {
    if (this.#next === undefined) return;
    const now = performance.now();
    const at = ms === LEAST_MS ? Math.max(now, this.#wokenAt + LEAST_MS) : now + ms;
    if (at >= this.#dueAt) return;
    clearTimeout(this.#timer);
    this.#dueAt = at;
    this.#timer = setTimeout(() => {
      this.#dueAt = Infinity;
      this.#wokenAt = performance.now();
      const waiting = this.#next;
      this.#next = undefined;
      waiting?.resolve();
    }, at - now);
  }
}

/** Resolves with `promise`, and no later than `signal` is aborted. */
function orAborted(promise: Promise<void>, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const done = () => {
      signal.removeEventListener('abort', done);
      resolve();
    };
    signal.addEventListener('abort', done);
    promise.then(done);
  });
}

/** All who ask in one turn share a query; nothing is cached. */
function shared<V>(ask: (ids: readonly number[]) => Promise<V[]>): DataLoader<number, V> {
  const batchScheduleFn = (callback: () => void) => void setImmediate(callback);
  return new DataLoader(ask, { cache: false, batchScheduleFn });
}

async function findTasks(
  reader: Reader,
  columns: string,
  ids: readonly number[],
): Promise<(TaskView | undefined)[]> {
  const rows = await reader.read<Row>(`select ${columns} from tasks where ${isAmong(reader.dialect, 'id')}`, [
    ids.filter((id) => id <= MAX_ID),
  ]);
  const byId = new Map(rows.map(shown<TaskView>).map((task) => [task.id, task]));
  return ids.map((id) => byId.get(id));
}
