import type { Static } from 'typebox';
import { toDate } from '../db/dialect.ts';
import { readJson } from '../db/json.ts';
import type { TaskState } from './task.entity.ts';
import type { Task, TaskError, TaskProgress } from './tasks.schemas.ts';

/** A task as it is shown. What `Static` does not see in the schema is said here. */
export interface TaskView extends Static<typeof Task> {
  progress?: TaskProgress;
  error?: TaskError;
  runAt?: Date;
  cancelRequestedAt?: Date;
  createdAt: Date;
  startedAt?: Date;
  finishedAt?: Date;
}

/** The columns as they are shown, in that order. JSON is text. */
const columns = (input: string, result: string) =>
  `id, kind, state, ${input} priority, run_at as "runAt", attempt, max_attempts as "maxAttempts",
   cast(progress as text) as progress, ${result} cast(error as text) as error, dedupe_key as "dedupeKey",
   parent_id as "parentId", actor, cancel_requested_at as "cancelRequestedAt", created_at as "createdAt",
   started_at as "startedAt", finished_at as "finishedAt"`;
export const TASK_COLUMNS = columns('cast(input as text) as input,', 'cast(result as text) as result,');
/** Without what may be large: for lists, and for those who look again and again. */
export const LISTED_COLUMNS = columns('', '');

/** A row of a plain query whose columns have the names that they are shown by. */
export type Row = Record<string, unknown>;

/** How what is no plain value is read. */
const READ = new Map<string, (value: never) => unknown>([
  ...['input', 'progress', 'result', 'error'].map((name) => [name, readJson] as const),
  ...['runAt', 'cancelRequestedAt', 'createdAt', 'startedAt', 'finishedAt', 'nextRunAt', 'lastRunAt'].map(
    (name) => [name, toDate] as const,
  ),
]);

/** A task or a schedule as it is shown: what is not there is left out. */
export function shown<View>(row: Row): View {
  const view: Row = {};
  for (const name in row) {
    const value = row[name];
    if (value === null) continue;
    const read = READ.get(name);
    view[name] = read === undefined ? value : read(value as never);
  }
  return view as View;
}

export function isFinished({ state }: { state: TaskState }): boolean {
  return state === 'succeeded' || state === 'failed' || state === 'cancelled';
}
