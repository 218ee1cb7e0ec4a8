import { Type } from 'typebox';
import {
  type ChildEnd,
  childrenEnds,
  insertChildren,
  releaseChildren,
  type Tally,
  tallyChildren,
} from './children.ts';
import { cancelDescendants } from './control.ts';
import { CHILD_TASK } from './kind-schemas.ts';
import { defineTask, PermanentFailure, type TaskContext } from './kinds.ts';
import { CANCEL, CHANGED, QUEUED } from './topics.ts';

const MOST_TASKS = 10_000;

const GatherInput = Type.Object(
  {
    tasks: Type.Unsafe<{ kind: string; input?: unknown }[]>({
      type: 'array',
      maxItems: MOST_TASKS,
      items: CHILD_TASK,
      description: 'what to run: at most 10,000 tasks of any kinds',
    }),
    concurrency: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: MOST_TASKS,
        description: 'at most so many of them at once',
        examples: [2],
      }),
    ),
    failFast: Type.Optional(
      Type.Boolean({
        description: 'whether the first that fails cancels the rest, and fails the whole',
        examples: [false],
      }),
    ),
  },
  {
    additionalProperties: false,
    examples: [
      {
        tasks: [
          { kind: 'sleep', input: { ms: 200 } },
          { kind: 'sleep', input: { ms: 100 } },
        ],
      },
    ],
  },
);
interface GatherInput {
  tasks: { kind: string; input?: unknown }[];
  concurrency?: number;
  failFast?: boolean;
}

/**
 * `asyncio.gather` that survives a crash. Its children are rows like any other, inserted with its checkpoint in one
 * transaction, so that none is lost and none begins twice; all it does then is wait, without a slot of its own. Like
 * its model, it ends when all have ended, and gives their ends in the order in which they were given; with `failFast`
 * it fails as soon as one has.
 */
export const gather = defineTask({
  kind: 'gather',
  description:
    'Runs many tasks at once and ends when all have: its result lists how each ended, in the order given.',
  input: GatherInput,
  waits: true,
  async run(context) {
    const { id, checkpoint, signal, progress, tasks } = context;
    if (checkpoint === undefined) await beget(context);
    for (;;) {
      const changed = tasks.watch.next(signal);
      const tally = await tallyChildren(tasks.reader, id);
      progress(tally.finished, tally.total);
      if (context.input.failFast && tally.failed > 0) await failFast(context);
      if (tally.finished === tally.total) break;
      await release(context, tally);
      await changed;
      signal.throwIfAborted();
    }
    return { tasks: await childrenEnds(tasks.reader, id) };
  },
});

async function beget({ id, input, save, tasks }: TaskContext<GatherInput>): Promise<void> {
  await save(async (tx) => {
    const children = input.tasks.map((child) => ({
      kind: child.kind,
      input: child.input ?? {},
      max_attempts: tasks.find(child.kind).maxAttempts,
    }));
    await insertChildren(tx.em, id, 0, children);
    await releaseChildren(tx.em, id, input.concurrency ?? MOST_TASKS);
    tasks.ringAfter(tx, QUEUED);
    return { begotten: children.length };
  });
}

/** Lets as many go as have ended, and after a retry those that are to run again. */
async function release(
  { id, input: { concurrency = MOST_TASKS }, write, tasks }: TaskContext<GatherInput>,
  { total, finished, held }: Tally,
): Promise<void> {
  const onTheirWay = total - finished - held;
  if (held === 0 || onTheirWay >= concurrency) return;
  await write(async (tx) => {
    await releaseChildren(tx.em, id, concurrency);
    tasks.ringAfter(tx, QUEUED);
  });
}

/** @throws {PermanentFailure} with the error of the first child that failed */
async function failFast({ id, write, tasks }: TaskContext<GatherInput>): Promise<never> {
  await write(async (tx) => {
    await cancelDescendants(tx.em, [id]);
    for (const topic of [CANCEL, CHANGED]) tasks.ringAfter(tx, topic);
  });
  const ends = await childrenEnds(tasks.reader, id);
  const failed = ends.find(({ state }) => state === 'failed') ?? ends.find(isCancelled);
  const why = failed?.error?.message ?? 'it was cancelled';
  throw new PermanentFailure(`Task ${failed?.id} did not succeed: ${why}`, 'child-failed');
}

function isCancelled({ state }: ChildEnd): boolean {
  return state === 'cancelled';
}
