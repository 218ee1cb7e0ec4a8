import type { FastifyBaseLogger } from 'fastify';
import type { Static, TSchema } from 'typebox';
import type { Tx } from '../db/tx.ts';
import { Refusal } from '../errors.ts';
import type { Scope } from '../http/access.ts';
import type { TaskQueue } from './queue.ts';
import type { TaskProgress } from './tasks.schemas.ts';

/** What a function is given for one attempt. */
export interface TaskContext<Input = unknown> {
  readonly id: number;
  readonly input: Input;
  /** Who asked for it: for what it writes in their name. */
  readonly actor: string | null;
  /** 1 at first; every claim raises it. */
  readonly attempt: number;
  /** What `save` kept last, perhaps by an attempt before this one. */
  readonly checkpoint: unknown;
  /**
   * Says that this attempt is to end: it was cancelled, has taken too long, lost its lease, or the service stops.
   * Nothing that is written afterwards is kept, but a result that is given while the service stops is.
   */
  readonly signal: AbortSignal;
  readonly log: FastifyBaseLogger;
  /**
   * Runs `work` in a transaction and keeps what it gives as the checkpoint, both or neither; nothing when the lease is
   * lost. As with every `Tx`, it may be run again when the transaction fails.
   */
  save(work: (tx: Tx) => Promise<unknown>): Promise<void>;
  /** Runs `work` in a transaction unless the lease is lost. */
  write<T>(work: (tx: Tx) => Promise<T>): Promise<T>;
  /** How far it is. Cheap: it is kept when the runner writes next, and again at the end. */
  progress(done: number, total?: number, more?: Omit<TaskProgress, 'done' | 'total'>): void;
  /** To look at other tasks and enqueue them. */
  readonly tasks: TaskQueue;
}

export interface TaskKind<Input = unknown> {
  /** A stable name: it stands in the database. */
  readonly kind: string;
  /** For the API document: what it does. */
  readonly description: string;
  readonly input: TSchema;
  run(context: TaskContext<Input>): Promise<unknown>;
  readonly maxAttempts: number;
  /** For one attempt; undefined: no limit. */
  readonly timeoutMs?: number;
  /** At most so many at once in one process. */
  readonly concurrency: number;
  /**
   * It only waits, for other tasks or for another machine: it takes no slot. Those that it waits for could find none, or
   * a machine that does not answer would hold up everybody else's work.
   */
  readonly waits: boolean;
  /** What it takes, besides `tasks:write`, to enqueue it over HTTP. */
  readonly scope?: Scope;
  /** The tasks that an input has in it. */
  parts(input: Input): readonly { kind: string }[];
}

const DEFAULTS = { maxAttempts: 5, concurrency: Infinity, waits: false, parts: () => [] };
type HasDefault = keyof typeof DEFAULTS;

type Definition<Schema extends TSchema, Kind = TaskKind<Static<Schema>>> = Omit<Kind, HasDefault> &
  Partial<Pick<Kind, HasDefault & keyof Kind>> & { readonly input: Schema };

/** `input` is a JSON Schema as it is written; the type that `run` is given is read from it. */
export function defineTask<const Schema extends TSchema>(
  definition: Definition<Schema>,
): TaskKind<Static<Schema>> {
  return { ...DEFAULTS, ...definition };
}

/** A function throws it to fail for good: another attempt would not help. */
export class PermanentFailure extends Error {
  readonly code: string | undefined;
  constructor(message: string, code?: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** A function throws it to be run again after so long, as often as it likes: `maxAttempts` is for what it did not expect. */
export class RetryLater extends Error {
  readonly afterMs: number;
  constructor(afterMs: number, message: string) {
    super(message);
    this.afterMs = afterMs;
  }
}

/** The reason of an aborted `signal`. `lost`: another runner may have the task by now. */
export class Aborted extends Error {
  readonly why: 'shutdown' | 'cancelled' | 'timeout' | 'lost';
  constructor(why: Aborted['why'], message: string) {
    super(message);
    this.why = why;
  }
}

/** A write of an attempt that is not this runner's any more. It has changed nothing. */
export class LeaseLost extends Refusal {
  constructor() {
    super('lease-lost', 'Another attempt has this task, or it has ended: nothing was written.');
  }
}
