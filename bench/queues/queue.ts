import type { DatabaseName } from '../options.ts';

/** A queue under measurement, used as its own documentation recommends. */
export interface Queue {
  /** Enqueues one empty task; resolves when it is durable. */
  enqueue(): Promise<unknown>;
  /** Starts its worker, which goes on until `close()`. */
  work(): Promise<unknown>;
  /** Tasks in the database that are not settled yet. */
  unsettled(): Promise<number>;
  /** Tasks that the database has as done, or undefined where a task that is done is deleted. */
  done(): Promise<number | undefined>;
  /** What the database says of its durability, asked over the queue's own connection. */
  durability(): Promise<Durability>;
  /** Stops the worker and lets go of the database. */
  close(): Promise<unknown>;
}

export type Durability = Readonly<Record<string, unknown>>;

export interface Setting {
  /** `sqlite:PATH` or `postgresql:…`; the database is the queue's own, and empty at first. */
  url: string;
  /** Tasks that may run at once. */
  concurrency: number;
  /** The task's function. */
  run(): Promise<void>;
}

/** Makes what the queue needs in the database, if it is not there yet. */
export type OpenQueue = (setting: Setting) => Promise<Queue>;

export interface QueueEntry {
  name: string;
  title: string;
  databases: readonly DatabaseName[];
  /** The file that exports `open`. */
  file: string;
  /** The package it is measured from; Muster is this repository. */
  packageName?: string;
}

export const MUSTER_QUEUE = 'muster';

const peer = (name: string, database: DatabaseName): QueueEntry => ({
  name,
  title: name,
  databases: [database],
  file: `./peers/${name}.ts`,
  packageName: name,
});

export const QUEUES: readonly QueueEntry[] = [
  { name: MUSTER_QUEUE, title: 'Muster', databases: ['sqlite', 'postgresql'], file: './muster/queue.ts' },
  peer('graphile-worker', 'postgresql'),
  peer('pg-boss', 'postgresql'),
  peer('plainjob', 'sqlite'),
  peer('liteque', 'sqlite'),
];

/** What `durability()` must answer; nobody is measured otherwise. */
export const DURABLE: Readonly<Record<DatabaseName, Durability>> = {
  sqlite: { journal_mode: 'wal', synchronous: 2 }, // 2: FULL
  postgresql: { fsync: 'on', synchronous_commit: 'on', full_page_writes: 'on' },
};

export const DURABILITY_SQL = `select ${Object.keys(DURABLE.postgresql)
  .map((name) => `current_setting('${name}') as ${name}`)
  .join(', ')}`;
