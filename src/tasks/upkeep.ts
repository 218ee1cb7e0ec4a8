import type { EntityManager } from '@mikro-orm/sql';
import { isSqlite } from '../db/dialect.ts';
import { listed } from '../db/given.ts';
import type { Reader } from '../db/reader.ts';
import { fromNow, msUntil, now } from '../db/time.ts';
import type { TaskState } from './task.entity.ts';

/** What one look at the table tells a runner. Times are milliseconds from now, by the database's clock. */
export interface Sight {
  queued: boolean;
  suspects: boolean;
  scheduledInMs: number | null;
  leaseInMs: number | null;
  /** Which of this runner's tasks somebody wants to be cancelled. */
  cancel: number[];
}

/** The one statement that an idle runner makes, once a second. Each part of it is the first entry of an index. */
export async function look(reader: Reader, runner: string, kinds: readonly string[]): Promise<Sight> {
  const { dialect } = reader;
  const all = dialect === 'sqlite' ? 'json_group_array(id)' : "coalesce(json_agg(id), '[]')::text";
  const among = listed(dialect, 'text');
  const list = JSON.stringify(kinds);
  const [row] = await reader.read<{
    queued: number | null;
    suspects: number | null;
    scheduled: number | null;
    lease: number | null;
    cancel: string;
  }>(
    `select
       (select 1 from tasks where state = 'queued' and losses < 2 and kind in (${among}) limit 1) as queued,
       (select 1 from tasks where state = 'queued' and losses >= 2 and kind in (${among}) limit 1) as suspects,
       (select ${msUntil(dialect, 'min(run_at)')} from tasks where state = 'scheduled') as scheduled,
       (select ${msUntil(dialect, 'min(lease_until)')} from tasks where state = 'running' and runner <> ?) as lease,
       (select ${all} from tasks where state = 'running' and runner = ? and cancel_requested_at is not null) as cancel`,
    [list, list, runner, runner],
  );
  return {
    queued: row?.queued === 1,
    suspects: row?.suspects === 1,
    scheduledInMs: row?.scheduled ?? null,
    leaseInMs: row?.lease ?? null,
    cancel: JSON.parse(row?.cancel ?? '[]'),
  };
}

/**
 * Extends the leases of all that a runner has, and gives them: one that it runs and is not among them was taken from
 * it. One that it does not know of was claimed by a commit that seemed to fail.
 */
export async function renew(
  em: EntityManager,
  runner: string,
  leaseMs: number,
): Promise<{ id: number; attempt: number; cancel: boolean }[]> {
  const dialect = isSqlite(em) ? 'sqlite' : 'postgresql';
  const rows = await em.execute<{ id: number; attempt: number; cancel: number | boolean }[]>(
    `update tasks set lease_until = ${fromNow(dialect, leaseMs)} where state = 'running' and runner = ?
     returning id, attempt, cancel_requested_at is not null as cancel`,
    [runner],
  );
  return rows.map(({ id, attempt, cancel }) => ({ id, attempt, cancel: Boolean(cancel) }));
}

/** At most so many rows in one statement of upkeep. */
const BATCH = 1000;

/** Queues the scheduled tasks whose time has come, and says how many. */
export async function promote(em: EntityManager): Promise<number> {
  const dialect = isSqlite(em) ? 'sqlite' : 'postgresql';
  const rows = await em.execute<unknown[]>(
    `update tasks set state = 'queued' where id in (select id from tasks where state = 'scheduled'
       and run_at <= ${now(dialect)} order by run_at limit ${BATCH} ${skipLocked(dialect)})
     returning id`,
  );
  return rows.length;
}

/** The third loss in a row is one too many. */
const MOST_LOSSES = 3;

/**
 * Takes the tasks of runners that have vanished: those whose lease is over or, at the start on SQLite, where there is
 * only one process, all. They are queued at once; what was lost the third time in a row may well be what kills its
 * process, and has failed. A kind in `waiting` does nothing that could, and is never blamed.
 */
export async function rescue(
  em: EntityManager,
  { runner, all, waiting }: { runner: string; all: boolean; waiting: readonly string[] },
): Promise<{ id: number; kind: string; state: TaskState }[]> {
  const dialect = isSqlite(em) ? 'sqlite' : 'postgresql';
  const blamed = `kind not in (${listed(dialect, 'text')})`;
  const fails = `losses + 1 >= ${MOST_LOSSES} and ${blamed}`;
  const list = JSON.stringify(waiting);
  const error = JSON.stringify({
    message: `The process that ran it vanished ${MOST_LOSSES} times in a row.`,
    code: 'process-lost',
  });
  return em.execute(
    `update tasks set
       state = case when cancel_requested_at is not null then 'cancelled' when ${fails} then 'failed' else 'queued' end,
       error = case when cancel_requested_at is null and ${fails} then ${dialect === 'sqlite' ? '?' : '?::json'} else error end,
       finished_at = case when cancel_requested_at is not null or ${fails} then ${now(dialect)} end,
       losses = losses + case when ${blamed} then 1 else 0 end, runner = null, lease_until = null
     where id in (select id from tasks where state = 'running' and runner <> ?
       ${all ? '' : `and lease_until < ${now(dialect)}`} order by lease_until limit ${BATCH} ${skipLocked(dialect)})
     returning id, kind, state`,
    [list, list, error, list, list, runner],
  );
}

function skipLocked(dialect: 'sqlite' | 'postgresql'): string {
  return dialect === 'sqlite' ? '' : 'for update skip locked';
}
