import { toDate } from '../db/dialect.ts';
import type { TaskError, TaskProgress, TaskState } from './task.entity.ts';

/** A task as it is shown. */
export interface TaskView {
  id: number;
  kind: string;
  state: TaskState;
  input?: unknown;
  priority: number;
  runAt?: Date;
  attempt: number;
  maxAttempts: number;
  progress?: TaskProgress;
  result?: unknown;
  error?: TaskError;
  dedupeKey?: string;
  parentId?: number;
  actor?: string;
  cancelRequestedAt?: Date;
  createdAt: Date;
  startedAt?: Date;
  finishedAt?: Date;
}

/** As they are shown, but for what may be large: for lists, and for those who look again and again. JSON is text. */
export const LISTED_COLUMNS =
  'id, kind, state, priority, run_at as "runAt", attempt, max_attempts as "maxAttempts", ' +
  'cast(progress as text) as progress, cast(error as text) as error, dedupe_key as "dedupeKey", ' +
  'parent_id as "parentId", actor, cancel_requested_at as "cancelRequestedAt", created_at as "createdAt", ' +
  'started_at as "startedAt", finished_at as "finishedAt"';
export const TASK_COLUMNS = `${LISTED_COLUMNS}, cast(input as text) as input, cast(result as text) as result`;

/** A row of a plain query whose columns have the names that they are shown by. */
export type Row = Record<string, unknown>;

/** How what is no plain value is read. */
const READ = new Map<string, (value: never) => unknown>([
  ...['input', 'progress', 'result', 'error'].map((name) => [name, JSON.parse] as const),
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
