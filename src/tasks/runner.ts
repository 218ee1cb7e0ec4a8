import { setTimeout as sleep } from 'node:timers/promises';
import type { FastifyBaseLogger } from 'fastify';
import { Unavailable } from '../errors.ts';

/** A piece of background work. `signal` says that the service cannot wait for it any longer. */
export interface BackgroundTask {
  kind: string;
  run(context: { signal: AbortSignal; log: FastifyBaseLogger }): Promise<void>;
}

/**
 * Runs tasks beside the requests. It is one promise: `start()` makes it (in `onReady`), `stop()` ends and awaits it
 * (in `onClose`). A task that is handed in before the start waits for it. Tasks live in memory only.
 */
export class TaskRunner {
  readonly #log: FastifyBaseLogger;
  readonly #graceMs: number;
  readonly #abort = new AbortController();
  readonly #waiting: BackgroundTask[] = [];
  readonly #running = new Set<Promise<void>>();
  #wake = Promise.withResolvers<void>();
  #loop: Promise<void> | undefined;
  #stopping = false;
  #stopped: Promise<void> | undefined;

  /** `graceMs`: how long `stop()` lets running tasks go on. */
  constructor(log: FastifyBaseLogger, graceMs: number) {
    this.#log = log;
    this.#graceMs = graceMs;
  }

  start(): void {
    this.#loop ??= this.#run();
  }

  /** Waits for what runs, at most `graceMs`; what has not ended by then is told so, and the log says which it was. */
  stop(): Promise<void> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  async #stop(): Promise<void> {
    this.#stopping = true;
    this.#wake.resolve();
    const timer = new AbortController();
    const grace = sleep(this.#graceMs, undefined, { signal: timer.signal }).catch(() => {});
    await Promise.race([this.#loop, grace]);
    timer.abort();
    this.#abort.abort();
    await this.#loop;
  }

  /** @throws {Unavailable} when the runner is stopping: nobody would run it */
  add(task: BackgroundTask): void {
    if (this.#stopping) throw new Unavailable('stopping', 'The service is stopping.');
    this.#waiting.push(task);
    this.#wake.resolve();
  }

  async #run(): Promise<void> {
    for (;;) {
      for (const task of this.#waiting.splice(0)) this.#begin(task);
      if (this.#stopping) break;
      await this.#wake.promise;
      this.#wake = Promise.withResolvers();
    }
    await Promise.all(this.#running);
  }

  #begin(task: BackgroundTask): void {
    const log = this.#log.child({ kind: task.kind });
    const { signal } = this.#abort;
    const promise: Promise<void> = Promise.resolve()
      .then(() => task.run({ signal, log })) // a throw is a failure like any other
      .catch((error) => {
        if (signal.aborted) log.warn(`Background task ${task.kind} was cut short by the shutdown`);
        else log.error({ err: error }, `Background task ${task.kind} failed`);
      })
      .finally(() => this.#running.delete(promise));
    this.#running.add(promise);
  }
}
