import { FlushMode } from '@mikro-orm/core';
import { Refusal, Unavailable } from '../errors.ts';
import { databaseFailure } from './failures.ts';
import type { Orm } from './orm.ts';
import { RowLocked, SharedTx, type Tx } from './tx.ts';

interface Job {
  work(tx: Tx): Promise<unknown>;
  resolve(value: unknown): void;
  reject(error: unknown): void;
  since: number;
}

/** More would hold rows, and the event loop, for longer than one client should wait for the others. */
const MOST_AT_ONCE = 100;
/** Writes that wait for their transaction; beyond that the database is not keeping up, and waiting does not help. */
const MOST_WAITING = 10_000;
/** A client that has waited so long in the queue is told to come again, rather than served when it has gone. */
const LONGEST_WAIT_MS = 10_000;
/** A commit takes milliseconds: when more wait than one takes, the oldest for so long, the database is not keeping up. */
const BEHIND_MS = 500;
/** Writes at once that wait for a row which another transaction holds. */
const PATIENT_AT_ONCE = 2;
/** How often a write that the database chose to end a deadlock is run again. */
const DEADLOCK_RETRIES = 3;

/**
 * Group commit. Writes that arrive while another transaction is on its way, or in one turn of the event loop, share
 * one transaction, one statement of a sort and one fsync (a create that commits alone costs PostgreSQL 284 µs of CPU, one
 * of fifty 33). Nobody waits for company: a write that is alone starts at once.
 *
 * - A refusal before anything was changed costs only itself.
 * - If a shared transaction fails, its halves run again, until the bad write is alone and fails only itself.
 * - A write whose row is held by another transaction waits for it apart from the others.
 * - If the database is away, all are told so at once.
 */
export class WriteQueue {
  readonly #orm: Orm;
  readonly #parallel: number;
  readonly #ring: (topic: string) => void;
  readonly #failed: (error: unknown) => void;
  readonly #waiting: Job[] = [];
  readonly #patient: Job[] = [];
  #running = 0;
  #runningPatient = 0;
  #scheduled = false;

  /**
   * `parallel`: shared transactions at once. `ring` is told each topic that the works of a committed transaction want rung,
   * `failed` why one was not carried out.
   */
  constructor(
    orm: Orm,
    parallel: number,
    ring: (topic: string) => void = () => {},
    failed: (error: unknown) => void = () => {},
  ) {
    this.#orm = orm;
    this.#parallel = parallel;
    this.#ring = ring;
    this.#failed = failed;
  }

  get length(): number {
    return this.#waiting.length + this.#patient.length;
  }

  /** How long the one that has waited longest has been waiting; 0 when none is. */
  get oldestMs(): number {
    const since = Math.min(this.#waiting[0]?.since ?? Infinity, this.#patient[0]?.since ?? Infinity);
    return Math.max(0, performance.now() - since);
  }

  /** Whether the database does not keep up. */
  get isBehind(): boolean {
    const [oldest] = this.#waiting;
    if (oldest === undefined || this.#waiting.length <= MOST_AT_ONCE) return false;
    return performance.now() - oldest.since > BEHIND_MS;
  }

  /** Runs `work` in a transaction and settles after the commit. */
  run<T>(work: (tx: Tx) => Promise<T>): Promise<T> {
    if (this.#waiting.length >= MOST_WAITING) return Promise.reject(tooBusy());
    return new Promise<T>((resolve, reject) => {
      this.#waiting.push({ work, resolve: resolve as Job['resolve'], reject, since: performance.now() });
      this.#schedule();
    });
  }

  #schedule(): void {
    if (this.#scheduled || this.#running >= this.#parallel || this.#waiting.length === 0) return;
    this.#scheduled = true;
    // The check phase: whatever has arrived in this turn is in it.
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

  async #runTogether(all: Job[]): Promise<void> {
    const jobs = all.filter(isInTime);
    if (jobs.length === 0) return;
    try {
      const locked = await this.#runTransaction(jobs, false);
      this.#patient.push(...locked);
      this.#schedulePatient();
    } catch (error) {
      // Rows that others hold are passed by: what was waited for is one lock for all, and each half would wait again.
      const failure = databaseFailure(error);
      const isHopeless = failure === 'away' || failure === 'locked';
      if (jobs.length === 1 && (error instanceof RowLocked || failure === 'deadlock')) {
        // It had changed something before, or was chosen to end a deadlock: alone, it may wait and begin anew.
        this.#patient.push(...jobs);
        return this.#schedulePatient();
      }
      if (jobs.length === 1 || isHopeless) {
        for (const job of jobs) job.reject(error);
        return;
      }
      const half = Math.ceil(jobs.length / 2);
      await this.#runTogether(jobs.slice(0, half));
      await this.#runTogether(jobs.slice(half));
    }
  }

  #schedulePatient(): void {
    while (this.#runningPatient < PATIENT_AT_ONCE) {
      const job = this.#patient.shift();
      if (job === undefined) return;
      if (!isInTime(job)) continue;
      this.#runningPatient++;
      this.#runAlone(job).finally(() => {
        this.#runningPatient--;
        this.#schedulePatient();
      });
    }
  }

  async #runAlone(job: Job, retries = DEADLOCK_RETRIES): Promise<void> {
    try {
      await this.#runTransaction([job], true);
    } catch (error) {
      if (retries > 0 && databaseFailure(error) === 'deadlock') return this.#runAlone(job, retries - 1);
      job.reject(error);
    }
  }

  /**
   * Runs the works in one transaction, settles those that are done or refused after its commit, and gives back those that
   * want a row which another transaction holds. When the commit fails, all are told so: the database may or may not have
   * kept the transaction, and running it again could do its work twice.
   * @throws whatever a work or the database threw; then nothing was kept, and no job was settled
   */
  async #runTransaction(jobs: Job[], mayWait: boolean): Promise<Job[]> {
    const em = this.#orm.em.fork({ flushMode: FlushMode.COMMIT });
    await em.begin();
    const locked: Job[] = [];
    const shared = new SharedTx(em, mayWait);
    let settle: (() => void)[];
    try {
      const results = await Promise.allSettled(jobs.map((job) => runJob(shared, job, locked)));
      settle = results.map((result) => {
        if (result.status === 'rejected') throw result.reason;
        return result.value;
      });
      await shared.finish();
    } catch (error) {
      await em.rollback().catch(() => {}); // the connection is gone, and the transaction with it
      this.#failed(error);
      throw error;
    }
    try {
      em.clear(); // an empty unit of work makes the flush inside commit() free
      await em.commit();
    } catch (error) {
      await em.rollback().catch(() => {});
      this.#failed(error);
      const refusal = commitFailed(error);
      for (const job of jobs) job.reject(refusal);
      return [];
    }
    for (const one of settle) one();
    for (const topic of shared.topics) this.#ring(topic);
    return locked;
  }
}

function isInTime(job: Job): boolean {
  if (performance.now() - job.since < LONGEST_WAIT_MS) return true;
  job.reject(tooBusy());
  return false;
}

function tooBusy(): Unavailable {
  return new Unavailable(
    'too-busy',
    'More writes are waiting than the database can take. Nothing was changed.',
  );
}

function commitFailed(cause: unknown): Unavailable {
  const refusal = new Unavailable(
    'commit-failed',
    'The database did not confirm this write. Read before you repeat it.',
  );
  refusal.cause = cause;
  return refusal;
}

/** Gives what is to be done after the commit: a refusal that changed nothing is kept for then, too. */
async function runJob(shared: SharedTx, job: Job, locked: Job[]): Promise<() => void> {
  let changed = false;
  try {
    const value = await shared.run(job.work, () => {
      changed = true;
    });
    return () => job.resolve(value);
  } catch (error) {
    if (changed) throw error;
    if (error instanceof RowLocked) return () => void locked.push(job);
    if (error instanceof Refusal) return () => job.reject(error);
    throw error;
  }
}
