import type { FastifyBaseLogger } from 'fastify';
import type { Tx } from '../db/tx.ts';
import type { Claimed } from './claim.ts';
import { backoffMs, errorOf, resultJson } from './failure.ts';
import { Aborted, LeaseLost, PermanentFailure, type TaskContext, type TaskKind } from './kinds.ts';
import type { TaskQueue } from './queue.ts';
import { type Fence, type Outcome, saveCheckpoints, stillOwn } from './settle.ts';
import type { TaskProgress } from './task.entity.ts';

/** What a run needs of the runner. */
export interface Surroundings {
  write<T>(work: (tx: Tx) => Promise<T>): Promise<T>;
  queue: TaskQueue;
  log: FastifyBaseLogger;
  /** Called at each boundary between two steps, where a test may end the process. Nothing in production. */
  reached(step: string): void;
  /** The function has said how far it is. */
  progressed(): void;
}

/** One attempt at a task, from its claim to the end of its function. */
export class Run {
  readonly claimed: Claimed;
  readonly kind: TaskKind;
  readonly fence: Fence;
  readonly claimedAt = performance.now();
  /** Of the function itself, which may go on after the attempt is over, and keeps its slot as long. */
  state: 'waiting' | 'running' | 'ended' = 'waiting';
  /** What the function has said last, if it has not been written yet. */
  unsaved: TaskProgress | undefined;
  /** How the attempt ends, once that is known. Nothing is written for it any more but that. */
  outcome: Outcome | 'lost' | undefined;
  readonly #abort = new AbortController();
  readonly #around: Surroundings;
  readonly #log: FastifyBaseLogger;
  #progress: TaskProgress | undefined;
  readonly #over = Promise.withResolvers<void>();

  constructor(claimed: Claimed, kind: TaskKind, runner: string, around: Surroundings) {
    this.claimed = claimed;
    this.kind = kind;
    this.fence = { id: claimed.id, attempt: claimed.attempt, runner };
    this.#around = around;
    this.#log = around.log.child({ task: claimed.id, kind: kind.kind, attempt: claimed.attempt });
  }

  /** Runs the function. Resolves when the outcome is known; `ended` is called when the function has really ended. */
  async start(ended: () => void): Promise<void> {
    this.state = 'running';
    const { timeoutMs } = this.kind;
    const timer =
      timeoutMs === undefined
        ? undefined
        : setTimeout(
            () => this.abort(new Aborted('timeout', `It took longer than ${timeoutMs} ms.`)),
            timeoutMs,
          );
    this.#runFunction()
      .then((outcome) => this.#decide(outcome))
      .finally(() => {
        clearTimeout(timer);
        this.state = 'ended';
        ended();
      });
    await this.#over.promise;
  }

  /** Tells the function to end. Unless that is for a shutdown, the attempt is over here and now. */
  abort(reason: Aborted): void {
    if (this.#abort.signal.aborted && reason.why !== 'lost') return;
    this.#abort.abort(reason);
    if (reason.why === 'lost') this.#decide('lost');
    if (reason.why === 'cancelled') this.#decide(this.#outcome({ state: 'cancelled' }));
    if (reason.why === 'timeout') this.#decide(this.#failure(reason));
    if (reason.why === 'shutdown' && this.state === 'waiting') this.handBack();
  }

  /** Gives the task back as it was before the claim. */
  handBack(): void {
    if (this.outcome === undefined && this.state === 'running') this.#logCutShort();
    this.#decide(this.#outcome({ state: 'queued' }));
  }

  /** How it ended cannot be written down. */
  spoil(): void {
    const error = { message: 'How it ended cannot be written to the database.', code: 'end-not-kept' };
    this.outcome = { ...this.fence, state: 'failed', error };
    this.#log.error('How a background task ended cannot be written to the database: it has failed');
  }

  #decide(outcome: Outcome | 'lost'): void {
    if (this.outcome !== undefined) return;
    this.outcome = outcome;
    this.unsaved = undefined;
    this.#over.resolve();
  }

  async #runFunction(): Promise<Outcome> {
    const { kind, claimed } = this;
    try {
      this.#around.reached('started');
      const result = await kind.run(this.#context());
      this.#around.reached('finished');
      return this.#outcome({ state: 'succeeded', result: resultJson(result, kind.waits) });
    } catch (error) {
      const { reason } = this.#abort.signal;
      if (reason instanceof Aborted && reason.why === 'shutdown') {
        if (this.outcome === undefined) this.#logCutShort();
        return this.#outcome({ state: 'queued' });
      }
      if (this.outcome === undefined) {
        const isLast = error instanceof PermanentFailure || claimed.attempt >= claimed.max_attempts;
        const what = isLast ? 'failed' : 'failed, and will be tried again';
        this.#log[isLast ? 'error' : 'warn']({ err: error }, `Background task ${kind.kind} ${what}`);
      }
      return this.#failure(error);
    }
  }

  #logCutShort(): void {
    this.#log.warn(`Background task ${this.kind.kind} was cut short by the shutdown, and will run again`);
  }

  #failure(error: unknown): Outcome {
    const { attempt, max_attempts: maxAttempts } = this.claimed;
    const isLast = error instanceof PermanentFailure || attempt >= maxAttempts;
    return this.#outcome({
      state: isLast ? 'failed' : 'scheduled',
      error: errorOf(error),
      ...(!isLast && { delayMs: backoffMs(attempt) }),
    });
  }

  #outcome(rest: Omit<Outcome, keyof Fence>): Outcome {
    return { ...this.fence, ...rest, progress: this.#progress };
  }

  #context(): TaskContext {
    const { claimed, fence } = this;
    const run = this;
    let checkpoint: unknown = claimed.checkpoint === null ? undefined : JSON.parse(claimed.checkpoint);
    return {
      id: claimed.id,
      input: JSON.parse(claimed.input),
      attempt: claimed.attempt,
      get checkpoint() {
        return checkpoint;
      },
      signal: this.#abort.signal,
      log: this.#log,
      tasks: this.#around.queue,
      write: (work) => this.#write(work),
      async save(work) {
        const { reached } = run.#around;
        checkpoint = await run.#write(async (tx) => {
          const next = await work(tx);
          await tx.together('save checkpoints', { ...fence, checkpoint: next }, async (rows) => {
            await saveCheckpoints(tx.em, rows);
            return rows.map(() => undefined);
          });
          reached('saving');
          return next;
        });
        reached('saved');
      },
      progress(done, total, more) {
        if (run.outcome !== undefined || !Number.isFinite(done)) return;
        run.#progress = { done, ...(Number.isFinite(total) && { total: Number(total) }), ...more };
        run.unsaved = run.#progress;
        run.#around.progressed();
      },
    };
  }

  /** The fence is looked at first, and holds to the commit: then nothing can come between. */
  async #write<T>(work: (tx: Tx) => Promise<T>): Promise<T> {
    if (this.outcome !== undefined) throw new LeaseLost();
    try {
      return await this.#around.write(async (tx) => {
        await tx.together('fence', this.fence, async (fences: readonly Fence[]) => {
          const own = await stillOwn(tx.em, fences);
          return fences.map(({ id }) => (own.has(id) ? undefined : new LeaseLost()));
        });
        tx.changed(); // whatever the work writes is undone with it when it throws
        return work(tx);
      });
    } catch (error) {
      if (error instanceof LeaseLost) this.abort(new Aborted('lost', error.message));
      throw error;
    }
  }
}
