import type { EntityManager } from '@mikro-orm/sql';
import { given } from '../db/given.ts';
import { dialectOf, execute } from '../db/statement.ts';
import { atMs, now } from '../db/time.ts';
import type { Tx } from '../db/tx.ts';
import { LISTED_COLUMNS, TASK_COLUMNS, type TaskRow, type TaskView, taskView } from './view.ts';

export interface NewTask {
  kind: string;
  input: unknown;
  maxAttempts: number;
  runAt?: Date;
  priority?: number;
  dedupeKey?: string;
  actor?: string | null;
  /** The span of whoever asks for it. */
  traceparent?: string | undefined;
}

/** Inserts a task, or finds the unfinished one with its `dedupeKey`. All of one turn share a statement. */
export function insertTask(tx: Tx, task: NewTask): Promise<TaskView> {
  tx.changed();
  return tx.together('insert tasks', task, (tasks: readonly NewTask[]) => insertTasks(tx.em, tasks));
}

async function insertTasks(em: EntityManager, tasks: readonly NewTask[]): Promise<TaskView[]> {
  const views = new Array<TaskView>(tasks.length);
  const keyed = new Map<string, number[]>();
  const plain: number[] = [];
  for (const [at, task] of tasks.entries()) {
    if (task.dedupeKey === undefined) plain.push(at);
    else keyed.set(keyOf(task), [...(keyed.get(keyOf(task)) ?? []), at]);
  }
  const pick = (places: readonly number[]) => places.flatMap((at) => tasks[at] ?? []);
  for (const [nth, row] of (await insertRows(em, pick(plain))).entries()) {
    const at = plain[nth];
    if (at !== undefined) views[at] = { ...taskView(row), input: tasks[at]?.input };
  }
  // One that ends between the two statements is neither inserted nor found, and then its key is free.
  for (let round = 0; keyed.size > 0 && round < 5; round++) {
    // In order of their keys, so that two transactions never wait for each other's.
    const firsts = [...keyed.keys()].sort().flatMap((key) => keyed.get(key)?.[0] ?? []);
    const inserted = await insertRows(em, pick(firsts));
    const found = inserted.length === keyed.size ? [] : await findUnfinished(em, pick(firsts));
    for (const row of [...inserted, ...found]) {
      const key = keyOf({ kind: row.kind, dedupeKey: row.dedupe_key });
      const places = keyed.get(key) ?? [];
      const { input } = pick(places)[0] ?? {};
      for (const at of places) views[at] = { input, ...taskView(row) };
      keyed.delete(key);
    }
  }
  if (keyed.size > 0) throw new Error('tasks with a dedupe key end as fast as they are asked for');
  return views;
}

function keyOf({ kind, dedupeKey }: { kind: string; dedupeKey?: string | null }): string {
  return `${kind} ${dedupeKey}`;
}

/** The inserted rows in the order given, without the input, which the caller has: ids rise in the order in which rows are inserted, and those are sorted. */
async function insertRows(em: EntityManager, tasks: readonly NewTask[]): Promise<TaskRow[]> {
  if (tasks.length === 0) return [];
  const dialect = dialectOf(em);
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
  const inserted = await execute<TaskRow>(
    em,
    `insert into tasks (kind, state, priority, run_at, input, attempt, max_attempts, losses, dedupe_key, actor,
       traceparent, created_at)
     select kind, case when ${runAt} > ${now(dialect)} then 'scheduled' else 'queued' end, priority,
       coalesce(${runAt}, ${now(dialect)}), input, 0, max_attempts, 0, dedupe_key, actor, traceparent, ${now(dialect)}
     from ${given(dialect, columns)} where true order by n
     on conflict (kind, dedupe_key) where finished_at is null and dedupe_key is not null do nothing
     returning ${LISTED_COLUMNS}`,
    [JSON.stringify(rows)],
  );
  return inserted.sort((a, b) => a.id - b.id);
}

function findUnfinished(em: EntityManager, tasks: readonly NewTask[]): Promise<TaskRow[]> {
  const dialect = dialectOf(em);
  const rows = tasks.map(({ kind, dedupeKey }) => ({ kind, dedupe_key: dedupeKey }));
  return execute<TaskRow>(
    em,
    `select ${TASK_COLUMNS} from tasks where finished_at is null and dedupe_key is not null
       and (kind, dedupe_key) in (select kind, dedupe_key from ${given(dialect, { kind: 'text', dedupe_key: 'text' })})`,
    [JSON.stringify(rows)],
  );
}
