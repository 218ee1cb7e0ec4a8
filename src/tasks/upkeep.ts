import { along } from '../db/dialect.ts';
import { listed } from '../db/given.ts';
import type { Reader } from '../db/reader.ts';
import { dialectOf } from '../db/statement.ts';
import { fromNow, msUntil, now } from '../db/time.ts';
import type { Tx } from '../db/tx.ts';
import type { DialectName } from '../db/url.ts';
import { LEASE_MS } from './runner-options.ts';
import type { Self } from './turn.ts';

/** What one look at the table tells a runner. Times are milliseconds from now, by the database's clock. */
interface Sight {
  queued: 1 | null;
  suspects: 1 | null;
  scheduledInMs: number | null;
  leaseInMs: number | null;
  /** Which of this runner's tasks somebody wants to be cancelled: JSON. */
  cancel: string;
}

/** The one statement that an idle runner makes, once a second. Each part of it is the first entry of an index. */
export async function look(reader: Reader, runner: string, kinds: readonly string[]): Promise<Sight> {
  const { dialect } = reader;
  const all = dialect === 'sqlite' ? 'json_group_array(id)' : "coalesce(json_agg(id), '[]')::text";
  const among = listed(dialect, 'text');
  const list = JSON.stringify(kinds);
  const [row] = await reader.read<Sight>(
    `select
       (select 1 from tasks ${along(dialect, 'tasks_queued')} where state = 'queued' and losses < 2 and kind in (${among}) limit 1) as queued,
       (select 1 from tasks ${along(dialect, 'tasks_suspect')} where state = 'queued' and losses >= 2 and kind in (${among}) limit 1) as suspects,
       (select ${msUntil(dialect, 'min(run_at)')} from tasks ${along(dialect, 'tasks_scheduled')} where state = 'scheduled') as "scheduledInMs",
       (select ${msUntil(dialect, 'min(lease_until)')} from tasks ${along(dialect, 'tasks_running')} where state = 'running' and runner <> ?) as "leaseInMs",
       (select ${all} from tasks ${along(dialect, 'tasks_running')} where state = 'running' and runner = ? and cancel_requested_at is not null) as cancel`,
    [list, list, runner, runner],
  );
  return row as Sight; // a select without a table has one row
}

export interface Renewed {
  id: number;
  attempt: number;
  /** Whether somebody wants it to be cancelled: `true` or 1. */
  cancel: boolean | number;
}

/**
 * Extends the leases of all that a runner has, and gives them: one that it runs and is not among them was taken from
 * it. One that it does not know of was claimed by a commit that seemed to fail.
 */
export async function renew(tx: Tx, runner: string): Promise<Renewed[]> {
  const dialect = dialectOf(tx.em);
  return tx.execute(
    `update tasks ${along(dialect, 'tasks_running')} set lease_until = ${fromNow(dialect, LEASE_MS)} where state = 'running' and runner = ?
     returning id, attempt, cancel_requested_at is not null as cancel`,
    [runner],
  );
}

/** At most so many rows in one statement of upkeep. */
const BATCH = 1000;

/** Queues the scheduled tasks whose time has come, and says how many. */
export async function promote(tx: Tx): Promise<number> {
  const dialect = dialectOf(tx.em);
  const rows = await tx.execute<unknown>(
    `update tasks set state = 'queued' where id in (select id from tasks ${along(dialect, 'tasks_scheduled')} where state = 'scheduled'
       and run_at <= ${now(dialect)} order by run_at limit ${BATCH} ${skipLocked(dialect)})
     returning id`,
    [],
  );
  return rows.length;
}

/** The third loss in a row is one too many. */
const MOST_LOSSES = 3;

/**
 * Takes the tasks of runners that have vanished, and says how many: those whose lease is over or, at the start on SQLite,
 * where there is only one process, all. They are queued at once; what was lost the third time in a row may well be what
 * kills its process, and has failed. A kind in `waiting` does nothing that could, and is never blamed.
 */
export async function rescue(tx: Tx, { id, waiting }: Self, which: 'expired' | 'all'): Promise<number> {
  const dialect = dialectOf(tx.em);
  const blamed = `kind not in (${listed(dialect, 'text')})`;
  const fails = `losses + 1 >= ${MOST_LOSSES} and ${blamed}`;
  const list = JSON.stringify(waiting);
  const error = JSON.stringify({
    message: `The process that ran it vanished ${MOST_LOSSES} times in a row.`,
    code: 'process-lost',
  });
  const rows = await tx.execute<unknown>(
    `update tasks set
       state = case when cancel_requested_at is not null then 'cancelled' when ${fails} then 'failed' else 'queued' end,
       error = case when cancel_requested_at is null and ${fails} then ${dialect === 'sqlite' ? '?' : '?::json'} else error end,
       finished_at = case when cancel_requested_at is not null or ${fails} then ${now(dialect)} end,
       losses = losses + case when ${blamed} then 1 else 0 end, runner = null, lease_until = null
     where id in (select id from tasks ${along(dialect, 'tasks_running')} where state = 'running' and runner <> ?
       ${which === 'all' ? '' : `and lease_until < ${now(dialect)}`} order by lease_until limit ${BATCH} ${skipLocked(dialect)})
     returning id`,
    [list, list, error, list, list, id],
  );
  return rows.length;
}

function skipLocked(dialect: DialectName): string {
  return dialect === 'sqlite' ? '' : 'for update skip locked';
}
