import { type EntityClass, type FilterQuery, LockMode, type RequiredEntityData } from '@mikro-orm/core';
import type { EntityManager } from '@mikro-orm/sql';
import DataLoader from 'dataloader';
import { Refusal, Unavailable } from '../errors.ts';
import { insertRows } from './insert.ts';

/**
 * One client's write inside a transaction that it may share with others. Rules for a function that takes one:
 *
 * - look at everything first, then change: a `Refusal` thrown before the first `insert()` that succeeds and the first
 *   `flush()` must leave nothing changed;
 * - no `await` between the last look at an entity and its change, so that writes to one user follow one another;
 * - wait for nothing but the database: the others wait too.
 */
export interface Tx {
  readonly em: EntityManager;
  /** The entity whose `property` has this value, locked for update, or undefined. All that are asked for in one turn share one query. */
  find<T extends object>(
    entity: EntityClass<T>,
    property: keyof T & string,
    value: Key,
  ): Promise<T | undefined>;
  /**
   * Inserts a row and gives its id, or undefined when another has the same value of `unique`. All that are inserted in
   * one turn share one statement.
   */
  insert<T extends object>(
    entity: EntityClass<T>,
    unique: keyof T & string,
    row: RequiredEntityData<T>,
  ): Promise<number | undefined>;
  /** Writes what has changed, together with everybody else's changes. Ids of new entities are known afterwards. */
  flush(): Promise<void>;
}

type Key = string | number;
type Work<T> = (tx: Tx) => Promise<T>;
interface Job {
  work: Work<unknown>;
  resolve(value: unknown): void;
  reject(error: unknown): void;
}
type Outcome = { job: Job; value: unknown } | { job: Job; refusal: unknown };

/**
 * Group commit. Writes that arrive while another transaction is on its way, or in one turn of the event loop, share
 * one transaction, one flush and one fsync (a flush of one user costs 120 µs, of fifty 20 µs each). Nobody waits for
 * company: a write that is alone starts at once. If a shared transaction fails, each of its writes runs again alone,
 * so that a bad one fails only itself.
 */
export class WriteQueue {
  readonly #fork: () => EntityManager;
  readonly #parallel: number;
  readonly #waiting: Job[] = [];
  #running = 0;
  #scheduled = false;

  /** `parallel`: transactions at once; SQLite has one connection, so 1. */
  constructor(fork: () => EntityManager, parallel: number) {
    this.#fork = fork;
    this.#parallel = parallel;
  }

  /** Runs `work` in a transaction and settles after the commit. */
  run<T>(work: Work<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      this.#waiting.push({ work, resolve: resolve as Job['resolve'], reject });
      this.#schedule();
    });
  }

  #schedule(): void {
    if (this.#scheduled || this.#running >= this.#parallel || this.#waiting.length === 0) return;
    this.#scheduled = true;
    // Not a timer: the check phase follows the poll phase in which the requests of this turn are read.
    setImmediate(() => {
      this.#scheduled = false;
      this.#running++;
      this.#runTogether(this.#waiting.splice(0, MOST_AT_ONCE)).finally(() => {
        this.#running--;
        this.#schedule();
      });
      this.#schedule();
    });
  }

  async #runTogether(jobs: Job[]): Promise<void> {
    try {
      for (const outcome of await runTransaction(this.#fork(), jobs)) settle(outcome);
    } catch (error) {
      if (jobs.length === 1 || error instanceof CommitFailed) {
        for (const job of jobs) job.reject(error instanceof CommitFailed ? error.refusal : error);
      } else {
        for (const job of jobs) await this.#runTogether([job]);
      }
    }
  }
}

/** More would hold row locks, and the event loop, for longer than one client should wait for the others. */
const MOST_AT_ONCE = 100;

/** The database may or may not have kept the transaction: running it again could do its work twice. */
class CommitFailed extends Error {
  readonly refusal: Unavailable;
  constructor(cause: unknown) {
    super('commit failed', { cause });
    this.refusal = new Unavailable(
      'commit-failed',
      'The database did not confirm this write. Read before you repeat it.',
    );
    this.refusal.cause = cause;
  }
}

function settle(outcome: Outcome): void {
  if ('refusal' in outcome) outcome.job.reject(outcome.refusal);
  else outcome.job.resolve(outcome.value);
}

async function runTransaction(em: EntityManager, jobs: Job[]): Promise<Outcome[]> {
  await em.begin();
  let outcomes: Outcome[];
  try {
    outcomes = await new SharedWork(em, jobs.length).runAll(jobs);
  } catch (error) {
    await em.rollback().catch(() => {}); // the connection is gone, and the transaction with it
    throw error;
  }
  try {
    em.clear(); // all is flushed; an empty unit of work makes the flush inside commit() free
    await em.commit();
  } catch (error) {
    await em.rollback().catch(() => {});
    throw new CommitFailed(error);
  }
  return outcomes;
}

/** What was not there a moment ago may be there now: this very transaction may have made it. */
const UNCACHED = { cache: false };

/** The works of one transaction: they run side by side, their look-ups and their flushes are made together. */
class SharedWork {
  readonly #em: EntityManager;
  readonly #loaders = new Map<string, DataLoader<unknown, unknown>>();
  #active: number;
  #atBarrier: { resolve(): void; reject(error: unknown): void }[] = [];

  constructor(em: EntityManager, size: number) {
    this.#em = em;
    this.#active = size;
  }

  async runAll(jobs: Job[]): Promise<Outcome[]> {
    const settled = await Promise.allSettled(jobs.map((job) => this.#runOne(job)));
    return settled.map((result) => {
      if (result.status === 'rejected') throw result.reason;
      return result.value;
    });
  }

  async #runOne(job: Job): Promise<Outcome> {
    let changed = false;
    const tx: Tx = {
      em: this.#em,
      find: (entity, property, value) => this.#find(entity, property, value),
      insert: async (entity, unique, row) => {
        const id = await this.#insert(entity, unique, row);
        changed ||= id !== undefined;
        return id;
      },
      flush: () => {
        changed = true;
        return this.#flush();
      },
    };
    try {
      return { job, value: await job.work(tx) };
    } catch (error) {
      if (error instanceof Refusal && !changed) return { job, refusal: error };
      throw error;
    } finally {
      this.#active--;
      this.#openBarrier();
    }
  }

  #find<T extends object>(
    entity: EntityClass<T>,
    property: keyof T & string,
    value: Key,
  ): Promise<T | undefined> {
    const loader = this.#loader(`find ${entity.name}.${property}`, async (values: readonly Key[]) => {
      const where = { [property]: { $in: values } } as FilterQuery<NoInfer<T>>;
      // In order of the value, so that two transactions never wait for each other's rows.
      const found = await this.#em.find(entity, where, {
        lockMode: LockMode.PESSIMISTIC_WRITE,
        orderBy: { [property]: 'asc' } as never,
      });
      const byValue = new Map(found.map((row) => [row[property] as Key, row]));
      return values.map((wanted) => byValue.get(wanted));
    });
    return loader.load(value);
  }

  #insert<T extends object>(
    entity: EntityClass<T>,
    unique: keyof T & string,
    row: RequiredEntityData<T>,
  ): Promise<number | undefined> {
    const loader = this.#loader(`insert ${entity.name}`, async (rows: readonly RequiredEntityData<T>[]) => {
      const ids = await insertRows(this.#em, entity, unique, rows);
      return rows.map((one) => {
        const key = one[unique as keyof typeof one];
        const id = ids.get(key);
        ids.delete(key); // the first of two that are the same has it
        return id;
      });
    });
    return loader.load(row);
  }

  /** What is asked for in one turn is done together; what it is asked with says what for. */
  #loader<K, V>(name: string, batch: (keys: readonly K[]) => Promise<V[]>): DataLoader<K, V> {
    const known = this.#loaders.get(name) as DataLoader<K, V> | undefined;
    if (known !== undefined) return known;
    const loader = new DataLoader(batch, UNCACHED);
    this.#loaders.set(name, loader as DataLoader<unknown, unknown>);
    return loader;
  }

  #flush(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#atBarrier.push({ resolve, reject });
      this.#openBarrier();
    });
  }

  /** When every work that still runs has come to its flush, one flush serves them all. */
  #openBarrier(): void {
    if (this.#atBarrier.length === 0 || this.#atBarrier.length < this.#active) return;
    const together = this.#atBarrier;
    this.#atBarrier = [];
    this.#em.flush().then(
      () => {
        for (const one of together) one.resolve();
      },
      (error) => {
        for (const one of together) one.reject(error);
      },
    );
  }
}
