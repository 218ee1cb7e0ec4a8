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

/** A row of `tasks` as a plain query gives it. JSON is text. */
export interface TaskRow {
  id: number;
  kind: string;
  state: TaskState;
  priority: number;
  run_at: unknown;
  input?: string;
  progress: string | null;
  result?: string | null;
  error: string | null;
  attempt: number;
  max_attempts: number;
  dedupe_key: string | null;
  parent_id: number | null;
  actor: string | null;
  cancel_requested_at: unknown;
  created_at: unknown;
  started_at: unknown;
  finished_at: unknown;
}

const SMALL_COLUMNS =
  'id, kind, state, priority, run_at, cast(progress as text) as progress, cast(error as text) as error, attempt, ' +
  'max_attempts, dedupe_key, parent_id, actor, cancel_requested_at, created_at, started_at, finished_at';
/** Of a list: without what may be large. */
export const LISTED_COLUMNS = SMALL_COLUMNS;
export const TASK_COLUMNS = `${SMALL_COLUMNS}, cast(input as text) as input, cast(result as text) as result`;

/** What is not there is left out. */
export function taskView(row: TaskRow): TaskView {
  return {
    id: row.id,
    kind: row.kind,
    state: row.state,
    ...(row.input !== undefined && { input: JSON.parse(row.input) }),
    priority: row.priority,
    ...(row.run_at !== null && { runAt: toDate(row.run_at) }),
    attempt: row.attempt,
    maxAttempts: row.max_attempts,
    ...(row.progress !== null && { progress: JSON.parse(row.progress) }),
    ...(row.result != null && { result: JSON.parse(row.result) }),
    ...(row.error !== null && { error: JSON.parse(row.error) }),
    ...(row.dedupe_key !== null && { dedupeKey: row.dedupe_key }),
    ...(row.parent_id !== null && { parentId: row.parent_id }),
    ...(row.actor !== null && { actor: row.actor }),
    ...(row.cancel_requested_at !== null && { cancelRequestedAt: toDate(row.cancel_requested_at) }),
    createdAt: toDate(row.created_at),
    ...(row.started_at !== null && { startedAt: toDate(row.started_at) }),
    ...(row.finished_at !== null && { finishedAt: toDate(row.finished_at) }),
  };
}

export function isFinished({ state }: { state: TaskState }): boolean {
  return state === 'succeeded' || state === 'failed' || state === 'cancelled';
}
