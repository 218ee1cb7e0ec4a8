import type { FastifyInstance } from 'fastify';
import type { Reader } from '../db/reader.ts';
import type { Tx } from '../db/tx.ts';
import { Invalid } from '../errors.ts';
import type { Scope } from '../http/access.ts';
import { invalidBody } from '../http/problems.ts';
import type { valueChecker } from '../http/validation.ts';
import { insertTask, type NewTask } from './insert.ts';
import type { TaskKind } from './kinds.ts';
import { QUEUED, SCHEDULED } from './topics.ts';
import type { TaskView } from './view.ts';
import type { Watch } from './watch.ts';

export type EnqueueOptions = Partial<Omit<NewTask, 'kind' | 'input'>>;

/** What features and task functions do with tasks. The runner is its other end. */
export class TaskQueue {
  readonly kinds: readonly TaskKind[];
  readonly #faultsOf: ReadonlyMap<string, ReturnType<ReturnType<typeof valueChecker>>>;
  readonly reader: Reader;
  readonly watch: Watch;
  readonly tracing: FastifyInstance['tracing'];

  constructor(
    kinds: readonly TaskKind[],
    checker: ReturnType<typeof valueChecker>,
    { reader, watch, tracing }: Pick<TaskQueue, 'reader' | 'watch' | 'tracing'>,
  ) {
    this.kinds = kinds;
    this.#faultsOf = new Map(kinds.map(({ kind, input }) => [kind, checker(input, ['input'])]));
    this.reader = reader;
    this.watch = watch;
    this.tracing = tracing;
  }

  /**
   * Enqueues a task in the caller's transaction: it is there if, and only if, that commits.
   * @throws {Invalid} for an unknown kind, and for an input that its schema does not allow
   */
  async enqueue<Input>(
    tx: Tx,
    kind: TaskKind<Input> | string,
    input: Input,
    options: EnqueueOptions = {},
  ): Promise<TaskView> {
    const found = this.check(typeof kind === 'string' ? kind : kind.kind, input);
    const task = await insertTask(tx, {
      maxAttempts: found.maxAttempts,
      traceparent: this.tracing?.traceparent(),
      ...options,
      kind: found.kind,
      input,
    });
    tx.ring(task.state === 'scheduled' ? SCHEDULED : QUEUED);
    return task;
  }

  /** @throws {Invalid} for an unknown kind */
  find(name: string): TaskKind {
    const found = this.kinds.find(({ kind }) => kind === name);
    if (found !== undefined) return found;
    throw invalidBody('#/kind', `must be one of ${this.kinds.map(({ kind }) => kind).join(', ')}`);
  }

  /**
   * What it takes, besides `tasks:write`, to enqueue such a task over HTTP, all that it would enqueue included.
   * @throws {Invalid} for an unknown kind, and for an input that its schema does not allow
   */
  scopesOf(name: string, input: unknown): ReadonlySet<Scope> {
    const kind = this.check(name, input);
    const all = [kind, ...kind.parts(input).map((part) => this.find(part.kind))];
    return new Set(all.flatMap(({ scope }) => scope ?? []));
  }

  /**
   * The kind of this name, which takes this input.
   * @throws {Invalid} for an unknown kind, and with every fault of `input`, where it is
   */
  check(name: string, input: unknown): TaskKind {
    const kind = this.find(name);
    const faults = this.#faultsOf.get(name)?.(input) ?? [];
    if (faults.length === 0) return kind;
    throw new Invalid('invalid-body', 'The body breaks the rules listed in errors.', faults);
  }
}
