import type { FastifyInstance } from 'fastify';
import type { TaskQueue } from './queue.ts';

/** How long a claim lasts, by the database's clock, and how often it is renewed. */
export const LEASE_MS = 15_000;
export const RENEW_MS = 5000;
/** How often the database is asked when nobody rings. */
export const LOOK_MS = 1000;
export const PROGRESS_MS = 250;
export const LONGEST_PAUSE_MS = 1000;
/** How long the end may wait for the database to take back what is left. */
export const LAST_MS = 2000;

export interface RunnerOptions extends Pick<FastifyInstance, 'write' | 'bell' | 'log'> {
  queue: TaskQueue;
  /** Tasks at once. */
  concurrency: number;
  /** How long `stop()` lets running functions go on. */
  graceMs: number;
  /** Told of each attempt that has ended, and of the state that follows. */
  ended(kind: string, state: string): void;
  /** Called at each boundary between two steps, where a test may end the process. Nothing in production. */
  reached(step: string): void;
}

/**
 * How many ends and claims one transaction of the runner has at most. Its statements are made, and its answers read, in one
 * go each, and look-ups wait meanwhile; on SQLite other writes wait for the whole of it.
 */
export const MOST_AT_ONCE = 50;

/** How many functions are begun in one turn of the event loop; so many take half a millisecond. */
export const BEGUN_AT_ONCE = 25;
