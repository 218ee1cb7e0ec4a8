import type { FastifyInstance } from 'fastify';
import type { Reader } from '../db/reader.ts';
import type { Tx } from '../db/tx.ts';
import { Invalid } from '../errors.ts';
import type { Scope } from '../http/access.ts';
import { insertTask } from './insert.ts';
import type { TaskKind } from './kinds.ts';
import { QUEUED, SCHEDULED } from './topics.ts';
import type { TaskView } from './view.ts';
import type { Watch } from './watch.ts';

export interface EnqueueOptions {
  /** Not before this time. */
  runAt?: Date;
  /** -1000 to 1000, higher first. */
  priority?: number;
  maxAttempts?: number;
  /** While a task of this kind with this key is not finished, it is given instead of a new one. */
  dedupeKey?: string;
  /** Who asks for it. */
  actor?: string | null;
  /** The span that it continues: while traces are made, the one in which it is asked for. */
  traceparent?: string | undefined;
}

type Check = (input: unknown) => Invalid | undefined;

/** What features and task functions do with tasks. The runner is its other end. */
export class TaskQueue {
  readonly #kinds: ReadonlyMap<string, { kind: TaskKind; check: Check }>;
  readonly reader: Reader;
  readonly watch: Watch;
  readonly tracing: FastifyInstance['tracing'];

  constructor(
    kinds: readonly TaskKind[],
    compile: (kind: TaskKind) => Check,
    { reader, watch, tracing }: Pick<TaskQueue, 'reader' | 'watch' | 'tracing'>,
  ) {
    this.#kinds = new Map(kinds.map((kind) => [kind.kind, { kind, check: compile(kind) }]));
    this.reader = reader;
    this.watch = watch;
    this.tracing = tracing;
  }

  get kinds(): TaskKind[] {
    return [...this.#kinds.values()].map(({ kind }) => kind);
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
    const found = this.find(typeof kind === 'string' ? kind : kind.kind);
    this.check(found.kind, input);
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

  /** @throws {Invalid} `unknown-kind` */
  find(name: string): TaskKind {
    const found = this.#kinds.get(name);
    if (found === undefined) throw unknownKind([...this.#kinds.keys()]);
    return found.kind;
  }

  /**
   * What it takes, besides `tasks:write`, to enqueue such a task over HTTP, all that it would enqueue included.
   * @throws {Invalid} `unknown-kind`, and for an input that its schema does not allow
   */
  scopesOf(name: string, input: unknown): ReadonlySet<Scope> {
    const kind = this.find(name);
    this.check(name, input);
    const scopes = new Set(kind.scope === undefined ? [] : [kind.scope]);
    for (const part of kind.parts(input)) {
      const { scope } = this.find(part.kind);
      if (scope !== undefined) scopes.add(scope);
    }
    return scopes;
  }

  /** @throws {Invalid} with every fault of `input`, where it is */
  check(kind: string, input: unknown): void {
    const refusal = this.#kinds.get(kind)?.check(input);
    if (refusal !== undefined) throw refusal;
  }
}

export function unknownKind(known: readonly string[]): Invalid {
  return new Invalid('invalid-body', 'The body breaks the rules listed in errors.', [
    { in: 'body', pointer: '#/kind', detail: `must be one of ${known.join(', ')}` },
  ]);
}
