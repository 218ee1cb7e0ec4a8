import type { TUnsafe } from 'typebox';
import { databaseFailure } from '../db/failures.ts';
import { Unavailable } from '../errors.ts';
import { type ChildEnd, childrenEnds, insertChildren, releaseChildren } from './children.ts';
import { cancelDescendants } from './control.ts';
import { CHILD_TASK } from './kind-schemas.ts';
import { defineTask, PermanentFailure, type TaskContext } from './kinds.ts';
import { QUEUED } from './topics.ts';
import { isFinished } from './view.ts';

const MOST_TASKS = 10_000;

/** Typed by hand: `Static` does not see what `CHILD_TASK` refers to. */
const GatherInput = {
  type: 'object',
  required: ['tasks'],
  properties: {
    tasks: {
      type: 'array',
      maxItems: MOST_TASKS,
      items: CHILD_TASK,
      description: 'what to run: at most 10,000 tasks of any kinds',
    },
    concurrency: {
      type: 'integer',
      minimum: 1,
      maximum: MOST_TASKS,
      description: 'at most so many of them at once',
      examples: [2],
    },
    failFast: {
      type: 'boolean',
      description: 'whether the first that fails cancels the rest, and fails the whole',
      examples: [false],
    },
  },
  additionalProperties: false,
  examples: [
    {
      tasks: [
        { kind: 'sleep', input: { ms: 200 } },
        { kind: 'sleep', input: { ms: 100 } },
      ],
    },
  ],
} as unknown as TUnsafe<GatherInput>;
interface GatherInput {
  tasks: { kind: string; input?: unknown }[];
  concurrency?: number;
  failFast?: boolean;
}

/**
 * `asyncio.gather` that survives a crash. Its children are rows like any other, inserted together with a checkpoint, so
 * that none is lost and none begins twice; all it does then is wait, without a slot of its own. Like
 * its model, it ends when all have ended, and gives their ends in the order in which they were given; with `failFast`
 * it fails as soon as one has.
 */
export const gather = defineTask({
  kind: 'gather',
  description:
    'Runs many tasks at once and ends when all have: its result lists how each ended, in the order given.',
  input: GatherInput,
  parts: ({ tasks }) => tasks,
  waits: true,
  async run(context) {
    const { signal, log, tasks } = context;
    await beget(context);
    for (;;) {
      const changed = tasks.watch.next(signal);
      try {
        const ends = await lookAfter(context);
        if (ends !== undefined) return { tasks: ends };
      } catch (error) {
        // An attempt that fails would be one of a few, and with the last of them all children are cancelled.
        if (!willPass(error)) throw error;
        log.warn({ err: error }, 'a gather waits for the database');
      }
      await changed;
      signal.throwIfAborted();
    }
  },
});

/** Lets children go, and gives the ends of all when there are no others. Everything here may be done twice. */
async function lookAfter(context: TaskContext<GatherInput>): Promise<ChildEnd[] | undefined> {
  const { id, progress, signal, tasks, write } = context;
  const { concurrency = MOST_TASKS, tasks: begotten } = context.input;
  const { total, finished, held, failed } = await tasks.watch.tally(id, signal);
  if (total < begotten.length) throw childrenGone(begotten.length - total, begotten.length);
  progress(finished, total);
  if (context.input.failFast && failed > 0) await failFast(context);
  if (finished === total) {
    const ends = await childrenEnds(tasks.reader, id);
    return ends.every(isFinished) ? ends : undefined; // one may have been retried since
  }
  // As many as have ended, and after a retry those that are to run again.
  if (held > 0 && total - finished - held < concurrency) {
    await write(async (tx) => {
      await releaseChildren(tx, id, concurrency);
      tx.ring(QUEUED);
    });
  }
  return undefined;
}

/** A `PermanentFailure` says what a child said, perhaps of another database. */
function willPass(error: unknown): boolean {
  if (error instanceof PermanentFailure) return false;
  return error instanceof Unavailable || databaseFailure(error) !== undefined;
}

/** So many at once: a thousand in one statement would hold up whoever looks for a user, on SQLite for 5 ms. */
const BEGOTTEN_AT_ONCE = 100;

/** The checkpoint says how many there are, so that another attempt goes on from there. */
async function beget(context: TaskContext<GatherInput>): Promise<void> {
  const { id, input, save, signal, tasks } = context;
  const { concurrency = MOST_TASKS } = input;
  let { begotten } = (context.checkpoint ?? { begotten: 0 }) as { begotten: number };
  while (begotten < input.tasks.length) {
    signal.throwIfAborted();
    const children = input.tasks.slice(begotten, begotten + BEGOTTEN_AT_ONCE).map((child, n) => ({
      kind: child.kind,
      input: child.input ?? {},
      max_attempts: tasks.find(child.kind).maxAttempts,
      place: begotten + n,
      state: begotten + n < concurrency ? ('queued' as const) : ('scheduled' as const),
    }));
    begotten += children.length;
    await save(async (tx) => {
      await insertChildren(tx, id, children, tasks.tracing?.traceparent());
      tx.ring(QUEUED);
      return { begotten };
    });
  }
}

/** It was retried when it had been kept long enough, and some of what it ran was pruned already. */
function childrenGone(many: number, all: number): PermanentFailure {
  return new PermanentFailure(
    `${many} of its ${all} tasks are not kept any more: start it anew.`,
    'children-gone',
  );
}

/** @throws {PermanentFailure} with the error of the first child that failed */
async function failFast({ id, write, tasks }: TaskContext<GatherInput>): Promise<never> {
  await write((tx) => cancelDescendants(tx, [id]));
  const ends = await childrenEnds(tasks.reader, id);
  const failed =
    ends.find(({ state }) => state === 'failed') ?? ends.find(({ state }) => state === 'cancelled');
  const why = failed?.error?.message ?? 'it was cancelled';
  throw new PermanentFailure(`Task ${failed?.id} did not succeed: ${why}`, 'child-failed');
}
