import { MAX_ID } from '../db/dialect.ts';
import { listed } from '../db/given.ts';
import { dialectOf } from '../db/statement.ts';
import { now } from '../db/time.ts';
import type { Tx } from '../db/tx.ts';
import { Conflict, NotFound } from '../errors.ts';
import type { TaskState } from './task.entity.ts';
import { CANCEL, CHANGED, QUEUED } from './topics.ts';
import { isFinished, type Row, shown, TASK_COLUMNS, type TaskView } from './view.ts';

/** What is done to a task from outside. */

/**
 * Cancels a task and all that it waits for: at once what does not run yet; of what runs the runner is told, wherever
 * it is, and the task is cancelled when that knows.
 * @throws {NotFound} | {Conflict} `task-finished`
 */
export async function cancelTask(tx: Tx, id: number): Promise<TaskView> {
  const task = await lockTask(tx, id);
  if (isFinished(task)) throw taskFinished(id, task.state);
  await cancelDescendants(tx, [id], { self: true });
  return readTask(tx, id);
}

/** A task and what is below it, down to what has not ended or has succeeded. */
const UNSUCCESSFUL = `with recursive family (id) as (
  select id from tasks where id = ?
  union select tasks.id from tasks join family on tasks.parent_id = family.id
    where tasks.state in ('failed', 'cancelled'))`;

/**
 * Runs a task again that has failed or was cancelled, as if it were new but for its checkpoint; of the tasks that it
 * waited for, those that did not succeed, and nothing below one that did: nobody would let that go.
 * @throws {NotFound} | {Conflict} `task-not-finished` (of itself, or of one below it that is about to be cancelled and
 * would be so after the retry), `task-succeeded`, or `task-duplicate` when another with its
 * dedupe key has taken its place
 */
export async function retryTask(tx: Tx, id: number): Promise<TaskView> {
  const task = await lockTask(tx, id);
  if (!isFinished(task)) throw taskNotFinished(id, task.state);
  if (task.state === 'succeeded') throw taskSucceeded(id);
  const [ending] = await tx.execute<{ id: number; state: TaskState }>(
    `${UNSUCCESSFUL} select id, state from tasks
     where parent_id in (select id from family) and cancel_requested_at is not null and finished_at is null
     order by id limit 1`,
    [id],
  );
  if (ending !== undefined) throw taskNotFinished(ending.id, ending.state);
  tx.changed();
  const dialect = dialectOf(tx.em);
  try {
    await tx.execute(
      `${UNSUCCESSFUL}
       update tasks set attempt = 0, losses = 0, error = null, cancel_requested_at = null, finished_at = null,
         state = case when id = ? then 'queued' else 'scheduled' end,
         run_at = case when id = ? then ${now(dialect)} end
       where id in (select id from family) and state in ('failed', 'cancelled')`,
      [id, id, id],
    );
  } catch (error) {
    if (error instanceof Error && error.name === 'UniqueConstraintViolationException')
      throw taskDuplicate(id);
    throw error;
  }
  tx.ring(QUEUED);
  tx.ring(CHANGED);
  return readTask(tx, id);
}

/** Cancels what is below these tasks and not finished. With `self`, the tasks themselves as well. */
export async function cancelDescendants(
  tx: Tx,
  ids: readonly number[],
  { self = false } = {},
): Promise<void> {
  if (ids.length === 0) return;
  const dialect = dialectOf(tx.em);
  const first = self ? 'id' : 'parent_id';
  tx.changed();
  const cancelled = await tx.execute<unknown>(
    `with recursive family (id) as (
       select id from tasks where ${first} in (${listed(dialect, 'int')})
       union select tasks.id from tasks join family on tasks.parent_id = family.id)
     update tasks set cancel_requested_at = coalesce(cancel_requested_at, ${now(dialect)}),
       state = case when state = 'running' then state else 'cancelled' end,
       finished_at = case when state = 'running' then null else ${now(dialect)} end
     where id in (select id from family) and finished_at is null
     returning id`,
    [JSON.stringify(ids)],
  );
  if (cancelled.length === 0) return;
  tx.ring(CANCEL);
  tx.ring(CHANGED);
}

/** Cancels the unfinished task of a kind that has this dedupe key, if there is one. */
export async function cancelByKey(tx: Tx, kind: string, dedupeKey: string): Promise<void> {
  const [task] = await tx.execute<{ id: number }>(
    'select id from tasks where kind = ? and dedupe_key = ? and finished_at is null',
    [kind, dedupeKey],
  );
  if (task !== undefined) await cancelDescendants(tx, [task.id], { self: true });
}

/** Lets the task of a kind that has this dedupe key run at once, if it waits for its time. */
export async function hastenByKey(tx: Tx, kind: string, dedupeKey: string): Promise<void> {
  tx.changed();
  const at = now(dialectOf(tx.em));
  await tx.execute(
    `update tasks set state = 'queued', run_at = ${at} where kind = ? and dedupe_key = ? and finished_at is null
       and state = 'scheduled' and run_at is not null`,
    [kind, dedupeKey],
  );
  tx.ring(QUEUED);
}

async function lockTask(tx: Tx, id: number): Promise<{ state: TaskState }> {
  const sql = `select state from tasks where id = ? ${dialectOf(tx.em) === 'sqlite' ? '' : 'for update'}`;
  const [task] = id > MAX_ID ? [] : await tx.execute<{ state: TaskState }>(sql, [id]);
  if (task === undefined) throw taskNotFound(id);
  return task;
}

async function readTask(tx: Tx, id: number): Promise<TaskView> {
  const [row] = await tx.execute<Row>(`select ${TASK_COLUMNS} from tasks where id = ?`, [id]);
  if (row === undefined) throw taskNotFound(id);
  return shown(row);
}

export function taskNotFound(id: number): NotFound {
  return new NotFound('task-not-found', `There is no task ${id}.`);
}

export function taskFinished(id: number, state: TaskState): Conflict {
  return new Conflict('task-finished', `Task ${id} has ended already: it is ${state}.`);
}

export function taskNotFinished(id: number, state: TaskState): Conflict {
  return new Conflict('task-not-finished', `Task ${id} is ${state}: only what has ended can be run again.`);
}

export function taskSucceeded(id: number): Conflict {
  return new Conflict('task-succeeded', `Task ${id} has succeeded: there is nothing to run again.`);
}

export function taskDuplicate(id: number): Conflict {
  return new Conflict('task-duplicate', `Another task with the dedupe key of task ${id} is not finished.`);
}
