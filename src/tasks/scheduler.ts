import { setTimeout as sleep } from 'node:timers/promises';
import type { FastifyInstance } from 'fastify';
import type { TaskQueue } from './queue.ts';
import { fireDue, keepBuiltIn, msUntilDue, type NewSchedule } from './schedules.ts';
import { SCHEDULES } from './topics.ts';

/** A schedule that was made elsewhere while the bell was away is seen after so long. */
const LONGEST_MS = 60_000;

interface Options extends Pick<FastifyInstance, 'write' | 'bell' | 'log'> {
  queue: TaskQueue;
  builtIn: readonly NewSchedule[];
}

/** Enqueues tasks by the clock. Every replica has one; which of them fires is the database's to say. */
export class Scheduler {
  readonly #options: Options;
  readonly #end = new AbortController();
  #wake = new AbortController();
  #loop: Promise<void> | undefined;

  constructor(options: Options) {
    this.#options = options;
  }

  /** Resolves when the built-in schedules are there, or the database could not be asked. */
  async start(): Promise<void> {
    if (this.#end.signal.aborted || this.#loop !== undefined) return;
    const kept = Promise.withResolvers<void>();
    this.#loop = this.#run(kept.resolve);
    await kept.promise;
  }

  async stop(): Promise<void> {
    this.#end.abort();
    await this.#loop;
  }

  async #run(begun: () => void): Promise<void> {
    let kept = false;
    const { signal } = this.#end;
    const { queue, write, bell, log, builtIn } = this.#options;
    const off = bell.on(SCHEDULES, () => this.#wake.abort());
    while (!signal.aborted) {
      this.#wake = new AbortController();
      let ms = 1000;
      try {
        if (!kept) await write((tx) => keepBuiltIn(tx, builtIn));
        kept = true;
        const due = await msUntilDue(queue.reader);
        if (due <= 0) await write((tx) => fireDue(tx, queue, log));
        ms = due > 0 ? Math.min(due, LONGEST_MS) : 10; // those of the same moment, and the time of the next
      } catch (error) {
        log.warn({ err: error }, 'schedules wait for the database');
      }
      begun();
      const until = AbortSignal.any([signal, this.#wake.signal]);
      await sleep(ms, undefined, { signal: until }).catch(() => {});
    }
    off();
  }
}
