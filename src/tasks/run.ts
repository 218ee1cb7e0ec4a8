import type { FastifyBaseLogger } from 'fastify';
import { readJson } from '../db/json.ts';
import type { Tx } from '../db/tx.ts';
import type { Claimed } from './claim.ts';
import { backoffMs, errorOf, resultJson } from './failure.ts';
import {
  Aborted,
  LeaseLost,
  PermanentFailure,
  RetryLater,
  type TaskContext,
  type TaskKind,
} from './kinds.ts';
import type { TaskQueue } from './queue.ts';
import type { RunnerOptions } from './runner-options.ts';
import { type Fence, type FencedProgress, type Outcome, saveCheckpoints, stillOwn } from './settle.ts';
import type { TaskProgress } from './tasks.schemas.ts';

/** What a run needs of the runner. */
export interface Surroundings extends Pick<RunnerOptions, 'write' | 'queue' | 'log' | 'reached'> {
  /** The function has said how far it is. */
  progressed(): void;
  /** The outcome of a run is known. */
  decided(run: Run): void;
}

const MESSAGES = {
  shutdown: 'The service stops.',
  cancelled: 'Somebody asked for it to be cancelled.',
  timeout: 'It took too long.',
  lost: 'Another runner has this task.',
};

/** One attempt at a task, from its claim to the end of its function, which is given it as its context. */
export class Run implements TaskContext {
  readonly claimed: Claimed;
  readonly kind: TaskKind;
  readonly fence: Fence;
  readonly claimedAt = performance.now();
  readonly id: number;
  readonly attempt: number;
  readonly actor: string | null;
  readonly tasks: TaskQueue;
  input: unknown;
  checkpoint: unknown;
  /** Of the function itself, which may go on after the attempt is over, and keeps its slot as long. */
  state: 'waiting' | 'running' | 'ended' = 'waiting';
  /** What the function has said last, if it has not been written yet. */
  unsaved: FencedProgress | undefined;
  /** How the attempt ends, once that is known. Nothing is written for it any more but that. */
  outcome: Outcome | 'lost' | undefined;
  readonly #around: Surroundings;
  // Made when they are asked for: few functions need both, and the garbage collector copies them while all wait.
  #controller: AbortController | undefined;
  #log: FastifyBaseLogger | undefined;
  #progress: TaskProgress | undefined;

  constructor(claimed: Claimed, kind: TaskKind, runner: string, around: Surroundings) {
    this.claimed = claimed;
    this.kind = kind;
    this.fence = { id: claimed.id, attempt: claimed.attempt, runner };
    this.id = claimed.id;
    this.attempt = claimed.attempt;
    this.actor = claimed.actor;
    this.tasks = around.queue;
    this.#around = around;
  }

  get signal(): AbortSignal {
    this.#controller ??= new AbortController();
    return this.#controller.signal;
  }

  get log(): FastifyBaseLogger {
    this.#log ??= this.#around.log.child({ task: this.id, kind: this.kind.kind, attempt: this.attempt });
    return this.#log;
  }

  /** Runs the function. `ended` is called when it has really ended, which may be long after the outcome is known. */
  start(ended: () => void): void {
    this.state = 'running';
    const { timeoutMs } = this.kind;
    const tooLong = () => this.abort('timeout', `It took longer than ${timeoutMs} ms.`);
    const timer = timeoutMs === undefined ? undefined : setTimeout(tooLong, timeoutMs);
    this.#runFunction().then((outcome) => {
      this.#decide(outcome);
      clearTimeout(timer);
      this.state = 'ended';
      ended();
    });
  }

  /** Tells the function to end. Unless that is for a shutdown, the attempt is over here and now. */
  abort(why: Aborted['why'], message: string = MESSAGES[why]): void {
    if (this.signal.aborted && why !== 'lost') return;
    const reason = new Aborted(why, message);
    this.#controller?.abort(reason); // it has one since its signal was asked for
    if (why === 'lost') this.#decide('lost');
    if (why === 'cancelled') this.#decide(this.#outcome({ state: 'cancelled' }));
    if (why === 'timeout') this.#decide(this.#failure(reason));
    if (why === 'shutdown' && this.state === 'waiting') this.handBack();
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
    this.log.error('How a background task ended cannot be written to the database: it has failed');
  }

  #decide(outcome: Outcome | 'lost'): void {
    if (this.outcome !== undefined) return;
    this.outcome = outcome;
    this.unsaved = undefined;
    this.#around.decided(this);
  }

  async #runFunction(): Promise<Outcome> {
    const { kind, claimed } = this;
    try {
      if (claimed.checkpoint !== null) this.checkpoint = readJson(claimed.checkpoint);
      this.#around.reached('started');
      this.input = readJson(claimed.input);
      const { tracing } = this.tasks;
      const result = await (tracing === undefined
        ? kind.run(this)
        : tracing.task(claimed, () => kind.run(this)));
      this.#around.reached('finished');
      return this.#outcome({ state: 'succeeded', result: resultJson(result, kind.waits) });
    } catch (error) {
      const { reason } = this.signal;
      if (reason instanceof Aborted && reason.why === 'shutdown') {
        if (this.outcome === undefined) this.#logCutShort();
        return this.#outcome({ state: 'queued' });
      }
      if (this.outcome === undefined) {
        const isLast = this.#isLast(error);
        const what = isLast ? 'failed' : 'failed, and will be tried again';
        this.log[isLast ? 'error' : 'warn']({ err: error }, `Background task ${kind.kind} ${what}`);
      }
      return this.#failure(error);
    }
  }

  #logCutShort(): void {
    this.log.warn(`Background task ${this.kind.kind} was cut short by the shutdown, and will run again`);
  }

  #failure(error: unknown): Outcome {
    const isLast = this.#isLast(error);
    const delayMs = error instanceof RetryLater ? error.afterMs : backoffMs(this.claimed.attempt);
    return this.#outcome({
      state: isLast ? 'failed' : 'scheduled',
      error: errorOf(error),
      ...(!isLast && { delayMs }),
    });
  }

  #isLast(error: unknown): boolean {
    if (error instanceof RetryLater) return false;
    return error instanceof PermanentFailure || this.claimed.attempt >= this.claimed.max_attempts;
  }

  #outcome(rest: Omit<Outcome, keyof Fence>): Outcome {
    return { ...this.fence, ...rest, progress: this.#progress };
  }

  readonly save = async (work: (tx: Tx) => Promise<unknown>): Promise<void> => {
    const { reached } = this.#around;
    this.checkpoint = await this.write(async (tx) => {
      const next = await work(tx);
      await tx.together('save checkpoints', { ...this.fence, checkpoint: next }, async (rows) => {
        await saveCheckpoints(tx, rows);
        return rows.map(() => undefined);
      });
      reached('saving');
      return next;
    });
    reached('saved');
  };

  readonly progress: TaskContext['progress'] = (done, total, more) => {
    if (this.outcome !== undefined || !Number.isFinite(done)) return;
    this.#progress = { done, ...(Number.isFinite(total) && { total: Number(total) }), ...more };
    this.unsaved = { ...this.fence, progress: this.#progress };
    this.#around.progressed();
  };

  /** The fence is looked at first, and holds to the commit: then nothing can come between. */
  readonly write = async <T>(work: (tx: Tx) => Promise<T>): Promise<T> => {
    if (this.outcome !== undefined) throw new LeaseLost();
    try {
      return await this.#around.write(async (tx) => {
        await tx.together('fence', this.fence, async (fences: readonly Fence[]) => {
          const own = await stillOwn(tx, fences);
          return fences.map(({ id }) => (own.has(id) ? undefined : new LeaseLost()));
        });
        tx.changed(); // whatever the work writes is undone with it when it throws
        return work(tx);
      });
    } catch (error) {
      if (error instanceof LeaseLost) this.abort('lost');
      throw error;
    }
  };
}
