import type { FastifyBaseLogger } from 'fastify';
import { MAX_ID, toDate } from '../db/dialect.ts';
import type { Reader } from '../db/reader.ts';
import { dialectOf } from '../db/statement.ts';
import { now as databaseNow, msUntil } from '../db/time.ts';
import type { Tx } from '../db/tx.ts';
import { Conflict, NotFound, Refusal } from '../errors.ts';
import { nextRun } from './cron.ts';
import type { TaskQueue } from './queue.ts';
import { SCHEDULES } from './topics.ts';
import { type Row, shown } from './view.ts';

export interface NewSchedule {
  kind: string;
  input: unknown;
  cron: string;
  timeZone: string;
  name?: string;
}

interface ScheduleView extends NewSchedule {
  id: number;
  nextRunAt: Date;
  lastRunAt?: Date;
  createdAt: Date;
}

const DAY_MS = 86_400_000;

const COLUMNS =
  'id, name, kind, cast(input as text) as input, cron, time_zone as "timeZone", next_run_at as "nextRunAt", ' +
  'last_run_at as "lastRunAt", created_at as "createdAt"';

/** @throws {Invalid} for an unknown kind, a bad input, cron expression or time zone */
export async function createSchedule(tx: Tx, queue: TaskQueue, schedule: NewSchedule): Promise<ScheduleView> {
  queue.check(schedule.kind, schedule.input);
  tx.ring(SCHEDULES);
  return keepSchedule(tx, schedule);
}

export async function keepBuiltIn(tx: Tx, schedules: readonly NewSchedule[]): Promise<void> {
  for (const schedule of schedules) await keepSchedule(tx, schedule);
}

/**
 * Puts in a schedule. One that is built in, and only those have a name, may be there: it is changed to what it is now,
 * and when it runs next stays unless that changed.
 */
async function keepSchedule(tx: Tx, schedule: NewSchedule): Promise<ScheduleView> {
  const { kind, input, cron, timeZone, name = null } = schedule;
  const now = new Date();
  const next = nextRun(cron, timeZone, now);
  tx.changed();
  const [row = {}] = await tx.execute<Row>(
    `insert into schedules (name, kind, input, cron, time_zone, next_run_at, created_at) values (?, ?, ?, ?, ?, ?, ?)
     on conflict (name) do update set kind = excluded.kind, input = excluded.input, cron = excluded.cron,
       time_zone = excluded.time_zone, next_run_at = case when schedules.cron = excluded.cron
         and schedules.time_zone = excluded.time_zone then schedules.next_run_at else excluded.next_run_at end
     returning ${COLUMNS}`,
    [name, kind, JSON.stringify(input), cron, timeZone, next, now],
  );
  return shown(row);
}

/** All of them: there are a few. */
export async function listSchedules(reader: Reader): Promise<ScheduleView[]> {
  const rows = await reader.read<Row>(`select ${COLUMNS} from schedules order by id`, []);
  return rows.map(shown<ScheduleView>);
}

/** @throws {NotFound} | {Conflict} `built-in-schedule` */
export async function deleteSchedule(tx: Tx, id: number): Promise<void> {
  if (id > MAX_ID) throw scheduleNotFound(id);
  const [row] = await tx.execute<{ name: string | null }>('select name from schedules where id = ?', [id]);
  if (row === undefined) throw scheduleNotFound(id);
  if (row.name !== null) throw builtInSchedule(row.name);
  tx.changed();
  await tx.execute('delete from schedules where id = ?', [id]);
}

/** How long until the first of them is due, in milliseconds by the database's clock; Infinity when there is none. */
export async function msUntilDue({ dialect, read }: Reader): Promise<number> {
  const [row] = await read<{ ms: number | null }>(
    `select ${msUntil(dialect, 'min(next_run_at)')} as ms from schedules`,
    [],
  );
  return row?.ms ?? Infinity;
}

/**
 * Enqueues what is due. Which replica moves `next_run_at` on from the value that it has seen is the
 * one that enqueues, in the same transaction: each firing is one task. Times that went by while nothing ran are one
 * firing, and the next is reckoned from now. One that cannot fire is passed over with a warning, and stays: its kind may
 * be unknown to this version, its input may not fit the kind any more. When its time zone is gone, it is looked at again
 * a day later.
 */
export async function fireDue(tx: Tx, queue: TaskQueue, log: FastifyBaseLogger): Promise<void> {
  const dialect = dialectOf(tx.em);
  const skip = dialect === 'sqlite' ? '' : 'for update skip locked';
  const due = await tx.execute<Row>(
    `select ${COLUMNS}, ${databaseNow(dialect)} as now from schedules where next_run_at <= ${databaseNow(dialect)}
     order by next_run_at limit 100 ${skip}`,
    [],
  );
  for (const row of due) {
    const now = toDate(row.now);
    const { id, kind, input, cron, timeZone, nextRunAt } = shown<ScheduleView>(row);
    let next = new Date(now.getTime() + DAY_MS);
    let refusal: Refusal | undefined;
    try {
      next = nextRun(cron, timeZone, now);
      queue.check(kind, input);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      refusal = error;
    }
    tx.changed();
    const moved = await tx.execute<unknown>(
      'update schedules set next_run_at = ?, last_run_at = ? where id = ? and next_run_at = ? returning id',
      [next, now, id, nextRunAt],
    );
    if (moved.length === 0) continue;
    if (refusal === undefined) await queue.enqueue(tx, kind, input);
    else log.warn({ schedule: id, kind, err: refusal }, 'a schedule cannot fire, and is passed over');
  }
}

export function scheduleNotFound(id: number): NotFound {
  return new NotFound('schedule-not-found', `There is no schedule ${id}.`);
}

export function builtInSchedule(name: string): Conflict {
  return new Conflict('built-in-schedule', `The schedule ${name} is built in and stays.`);
}
