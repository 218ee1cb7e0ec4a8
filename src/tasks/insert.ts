import { given } from '../db/given.ts';
import { dialectOf } from '../db/statement.ts';
import { atMs, now } from '../db/time.ts';
import type { Tx } from '../db/tx.ts';
import { LISTED_COLUMNS, type Row, shown, TASK_COLUMNS, type TaskView } from './view.ts';

export interface NewTask {
  kind: string;
  input: unknown;
  maxAttempts: number;
  /** Not before this time. */
  runAt?: Date;
  /** -1000 to 1000, higher first. */
  priority?: number;
  /** While a task of this kind with this key is not finished, it is given instead of a new one. */
  dedupeKey?: string;
  /** Who asks for it. */
  actor?: string | null;
  /** The span that it continues: while traces are made, the one in which it is asked for. */
  traceparent?: string | undefined;
}

/** Inserts a task, or finds the unfinished one with its `dedupeKey`. All of one turn share a statement. */
export async function insertTask(tx: Tx, task: NewTask): Promise<TaskView> {
  tx.changed();
  if (task.dedupeKey !== undefined) {
    return tx.together('insert keyed tasks', task, (tasks) => insertKeyed(tx, tasks));
  }
  const view = await tx.together('insert tasks', task, (tasks) => insertRows(tx, tasks));
  view.input = task.input;
  return view;
}

/** Inserts those whose keys are free, and finds the others. */
async function insertKeyed(tx: Tx, tasks: readonly NewTask[]): Promise<TaskView[]> {
  const views = new Map<string, TaskView>();
  /** Of those with the same key, the first. */
  const left = new Map<string, NewTask>();
  for (const task of tasks) if (!left.has(keyOf(task))) left.set(keyOf(task), task);
  // One that ends between the two statements is neither inserted nor found, and then its key is free.
  for (let round = 0; left.size > 0 && round < 5; round++) {
    // In order of their keys, so that two transactions never wait for each other's.
    const firsts = [...left].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, task]) => task);
    const inserted = await insertRows(tx, firsts);
    const found = inserted.length === firsts.length ? [] : await findUnfinished(tx, firsts);
    for (const view of [...inserted, ...found]) {
      views.set(keyOf(view), { input: left.get(keyOf(view))?.input, ...view });
      left.delete(keyOf(view));
    }
  }
  if (left.size > 0) throw new Error('tasks with a dedupe key end as fast as they are asked for');
  return tasks.flatMap((task) => views.get(keyOf(task)) ?? []);
}

function keyOf({ kind, dedupeKey }: { kind: string; dedupeKey?: string }): string {
  return `${kind} ${dedupeKey}`;
}

/**
 * Those that were inserted, in the order given, without the input, which the caller has: ids rise in the order in which
 * rows are inserted, and those are sorted.
 */
async function insertRows(tx: Tx, tasks: readonly NewTask[]): Promise<TaskView[]> {
  const dialect = dialectOf(tx.em);
  const rows = tasks.map((task, n) => ({
    n,
    kind: task.kind,
    priority: task.priority ?? 0,
    run_at: task.runAt?.getTime(),
    input: task.input,
    max_attempts: task.maxAttempts,
    dedupe_key: task.dedupeKey,
    actor: task.actor,
    traceparent: task.traceparent,
  }));
  const columns = {
    n: 'int',
    kind: 'text',
    priority: 'int',
    run_at: 'ms',
    input: 'json',
    max_attempts: 'int',
    dedupe_key: 'text',
    actor: 'text',
    traceparent: 'text',
  } as const;
  const runAt = atMs(dialect, 'given.run_at');
  const inserted = await tx.execute<Row>(
    `insert into tasks (kind, state, priority, run_at, input, attempt, max_attempts, losses, dedupe_key, actor,
       traceparent, created_at)
     select kind, case when ${runAt} > ${now(dialect)} then 'scheduled' else 'queued' end, priority,
       coalesce(${runAt}, ${now(dialect)}), input, 0, max_attempts, 0, dedupe_key, actor, traceparent, ${now(dialect)}
     from ${given(dialect, columns)} where true order by n
     on conflict (kind, dedupe_key) where finished_at is null and dedupe_key is not null do nothing
     returning ${LISTED_COLUMNS}`,
    [JSON.stringify(rows)],
  );
  return inserted.map(shown<TaskView>).sort((a, b) => a.id - b.id);
}

async function findUnfinished(tx: Tx, tasks: readonly NewTask[]): Promise<TaskView[]> {
  const dialect = dialectOf(tx.em);
  const rows = tasks.map(({ kind, dedupeKey }) => ({ kind, dedupe_key: dedupeKey }));
  const found = await tx.execute<Row>(
    `select ${TASK_COLUMNS} from tasks where finished_at is null and dedupe_key is not null
       and (kind, dedupe_key) in (select kind, dedupe_key from ${given(dialect, { kind: 'text', dedupe_key: 'text' })})`,
    [JSON.stringify(rows)],
  );
  return found.map(shown<TaskView>);
}
