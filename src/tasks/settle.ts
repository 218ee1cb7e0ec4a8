import { type ColumnType, given } from '../db/given.ts';
import { dialectOf } from '../db/statement.ts';
import { fromNow, now } from '../db/time.ts';
import type { Tx } from '../db/tx.ts';
import type { DialectName } from '../db/url.ts';
import type { TaskState } from './task.entity.ts';
import type { TaskError, TaskProgress } from './tasks.schemas.ts';

/** The pair that names one run: every write of it carries both, and finds no row when the task is not its own any more. */
export interface Fence {
  id: number;
  attempt: number;
  runner: string;
}

/** How far a run is. */
export interface FencedProgress extends Fence {
  progress: TaskProgress;
}

/** How an attempt ended. */
export interface Outcome extends Fence {
  state: Extract<TaskState, 'succeeded' | 'failed' | 'cancelled' | 'scheduled' | 'queued'>;
  /** JSON text. */
  result?: string | undefined;
  error?: TaskError | undefined;
  progress?: TaskProgress | undefined;
  /** Of `scheduled`: how long the next attempt waits. */
  delayMs?: number;
}

const FENCE = { id: 'int', attempt: 'int', runner: 'text' } as const;

const OWN = `tasks.id = given.id and tasks.attempt = given.attempt and tasks.runner = given.runner
  and tasks.state = 'running'`;

/**
 * The rows that are given are found one by one, by their ids: SQLite would go along the index of all that run instead,
 * and look through all that is given for each (a thousand of each took it 300 ms).
 */
const byId = (dialect: DialectName) => (dialect === 'sqlite' ? 'tasks not indexed' : 'tasks');

/** Changes the tasks that are still the runs' own, by what is given for each: its fence and `columns`. */
function updateOwn(dialect: DialectName, set: string, columns: Record<string, ColumnType>): string {
  return `update ${byId(dialect)} set ${set} from ${given(dialect, { ...FENCE, ...columns })} where ${OWN}`;
}

/**
 * Writes how attempts ended, and gives the ids of those that were still the runner's. `queued` hands a task back: the
 * attempt is not counted. (attempt, runner) stays the name of one run because a runner that goes on claiming hands back
 * only what it has never begun. Who asked meanwhile for the task to be cancelled gets that instead of another attempt.
 */
export async function settle(tx: Tx, outcomes: readonly Outcome[]): Promise<Map<number, TaskState>> {
  if (outcomes.length === 0) return new Map();
  const dialect = dialectOf(tx.em);
  const columns = { state: 'text', result: 'json', error: 'json', progress: 'json', delay_ms: 'ms' } as const;
  const again = `given.state in ('scheduled', 'queued') and tasks.cancel_requested_at is null`;
  const rows = outcomes.map(({ result, delayMs, ...rest }) => {
    const row = JSON.stringify({ ...rest, delay_ms: delayMs });
    // The result is JSON already, and may be a megabyte.
    return result === undefined ? row : `${row.slice(0, -1)},"result":${result}}`;
  });
  const set = `state = case when ${again} or given.state not in ('scheduled', 'queued') then given.state else 'cancelled' end,
    result = given.result, error = coalesce(given.error, case when given.state = 'succeeded' then null else tasks.error end),
    progress = coalesce(given.progress, tasks.progress),
    checkpoint = case when given.state = 'succeeded' then null else tasks.checkpoint end,
    attempt = tasks.attempt - case when given.state = 'queued' then 1 else 0 end,
    losses = case when given.state = 'queued' then tasks.losses else 0 end,
    run_at = case when given.state = 'scheduled' then ${fromNow(dialect, 'given.delay_ms')} else tasks.run_at end,
    runner = null, lease_until = null,
    finished_at = case when ${again} then null else ${now(dialect)} end`;
  const settled = await tx.execute<{ id: number; state: TaskState }>(
    `${updateOwn(dialect, set, columns)} returning tasks.id, tasks.state`,
    [`[${rows.join(',')}]`],
  );
  return new Map(settled.map(({ id, state }) => [id, state]));
}

/** Keeps how far running tasks are. */
export async function saveProgress(tx: Tx, rows: readonly FencedProgress[]): Promise<void> {
  if (rows.length === 0) return;
  const sql = updateOwn(dialectOf(tx.em), 'progress = given.progress', { progress: 'json' });
  await tx.execute(sql, [JSON.stringify(rows)]);
}

/**
 * Keeps checkpoints in the transaction of the work that they stand for, whose fence was checked before it. Whoever gets
 * further is not what kills its process: its losses are counted anew.
 */
export async function saveCheckpoints(
  tx: Tx,
  rows: readonly (Fence & { checkpoint: unknown })[],
): Promise<void> {
  const set = 'checkpoint = given.checkpoint, losses = 0';
  await tx.execute(updateOwn(dialectOf(tx.em), set, { checkpoint: 'json' }), [JSON.stringify(rows)]);
}

/**
 * Which of these runs still have their task. On PostgreSQL the rows are locked to the end of the transaction, so that
 * nobody takes a task from a run that is writing; whoever would is in the way only if it has done so already, and then
 * the lock is waited for.
 */
export async function stillOwn(tx: Tx, rows: readonly Fence[]): Promise<Set<number>> {
  const dialect = dialectOf(tx.em);
  const found = await tx.execute<{ id: number }>(
    `select tasks.id from ${byId(dialect)} join ${given(dialect, FENCE)} on ${OWN} order by tasks.id
     ${dialect === 'sqlite' ? '' : 'for update of tasks'}`,
    [JSON.stringify(rows)],
  );
  return new Set(found.map(({ id }) => id));
}
