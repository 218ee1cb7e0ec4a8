import { Worker } from 'node:worker_threads';
import Database from 'better-sqlite3';
import { SqliteEngine, type SqliteResult } from './sqlite-engine.ts';

/** The one connection that writes. What is sent runs in order, one after the other. */
export interface SqliteConnection {
  /**
   * `keep`: the text comes again, so what is prepared of it is kept.
   * @throws {Database.SqliteError}
   */
  run(sql: string, values?: readonly unknown[], keep?: boolean): Promise<SqliteResult>;
  close(): Promise<void>;
}

/** A file is written in a thread: look-ups go on while a commit waits for the disk. Memory has no disk to wait for. */
export function connectSqlite(path: string): SqliteConnection {
  return path === ':memory:' ? new InMemory() : new SqliteThread(path);
}

class InMemory implements SqliteConnection {
  readonly #engine = new SqliteEngine(':memory:');

  async run(sql: string, values: readonly unknown[] = [], keep = false): Promise<SqliteResult> {
    return this.#engine.run(sql, values, keep);
  }

  async close(): Promise<void> {
    this.#engine.close();
  }
}

/** An error cannot be sent whole: its class and `code` are lost on the way. */
type Answer = SqliteResult | { message: string; code: string | undefined };

/** It keeps the process alive only while something is asked of it. */
class SqliteThread implements SqliteConnection {
  readonly #worker: Worker;
  readonly #ended: Promise<void>;
  readonly #asked: PromiseWithResolvers<SqliteResult>[] = [];
  #isOpen = true;

  constructor(path: string) {
    this.#worker = new Worker(new URL('sqlite-worker.js', import.meta.url), {
      workerData: path,
      execArgv: [],
    });
    this.#worker.unref();
    this.#worker.on('message', (answer: Answer) => this.#answered(answer));
    // No listener of errors: without this thread nothing can be written, so a fault of its own ends the process.
    this.#ended = new Promise((resolve) => {
      this.#worker.once('exit', () => {
        this.#isOpen = false;
        for (const asked of this.#asked.splice(0)) asked.reject(closed());
        resolve();
      });
    });
  }

  run(sql: string, values: readonly unknown[] = [], keep = false): Promise<SqliteResult> {
    if (!this.#isOpen) return Promise.reject(closed());
    const asked = Promise.withResolvers<SqliteResult>();
    if (this.#asked.push(asked) === 1) this.#worker.ref();
    this.#worker.postMessage([sql, values, keep]);
    return asked.promise;
  }

  /** What was asked before is done before. */
  close(): Promise<void> {
    if (this.#isOpen) {
      this.#isOpen = false;
      this.#worker.ref();
      this.#worker.postMessage('close');
    }
    return this.#ended;
  }

  #answered(answer: Answer): void {
    const asked = this.#asked.shift();
    if (this.#asked.length === 0 && this.#isOpen) this.#worker.unref();
    if ('rows' in answer) asked?.resolve(answer);
    else asked?.reject(toError(answer));
  }
}

function closed(): Error {
  return new Error('the database is closed');
}

function toError({ message, code }: { message: string; code: string | undefined }): Error {
  return code === undefined ? new Error(message) : new Database.SqliteError(message, code);
}
