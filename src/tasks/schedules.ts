import type { EntityManager } from '@mikro-orm/sql';
import { MAX_ID, toDate } from '../db/dialect.ts';
import type { Reader } from '../db/reader.ts';
import { dialectOf, execute } from '../db/statement.ts';
import { now as databaseNow, msUntil } from '../db/time.ts';
import type { Tx } from '../db/tx.ts';
import { Conflict, NotFound, Refusal } from '../errors.ts';
import { nextRun } from './cron.ts';
import type { TaskQueue } from './queue.ts';

export interface NewSchedule {
  kind: string;
  input: unknown;
  cron: string;
  timeZone: string;
  name?: string;
}

export interface ScheduleView {
  id: number;
  name?: string;
  kind: string;
  input: unknown;
  cron: string;
  timeZone: string;
  nextRunAt: Date;
  lastRunAt?: Date;
  createdAt: Date;
}

interface ScheduleRow {
  id: number;
  name: string | null;
  kind: string;
  input: string;
  cron: string;
  time_zone: string;
  next_run_at: unknown;
  last_run_at: unknown;
  created_at: unknown;
}

const DAY_MS = 86_400_000;

const COLUMNS =
  'id, name, kind, cast(input as text) as input, cron, time_zone, next_run_at, last_run_at, created_at';

/** @throws {Invalid} for an unknown kind, a bad input, cron expression or time zone */
export async function createSchedule(tx: Tx, queue: TaskQueue, schedule: NewSchedule): Promise<ScheduleView> {
  queue.check(schedule.kind, schedule.input);
  const now = new Date();
  const next = nextRun(schedule.cron, schedule.timeZone, now);
  tx.changed();
  const [row] = await insertSchedule(tx.em, schedule, now, next, '');
  if (row === undefined) throw new Error('a schedule was not inserted');
  return scheduleView(row);
}

/** Puts in those that are built in, or changes them to what they are now; when they run next stays unless that changed. */
export async function keepBuiltIn(
  tx: Tx,
  schedules: readonly (NewSchedule & { name: string })[],
): Promise<void> {
  const now = new Date();
  for (const schedule of schedules) {
    const next = nextRun(schedule.cron, schedule.timeZone, now);
    await insertSchedule(
      tx.em,
      schedule,
      now,
      next,
      `on conflict (name) do update set kind = excluded.kind, input = excluded.input, cron = excluded.cron,
         time_zone = excluded.time_zone, next_run_at = case when schedules.cron = excluded.cron
           and schedules.time_zone = excluded.time_zone then schedules.next_run_at else excluded.next_run_at end`,
    );
  }
}

function insertSchedule(
  em: EntityManager,
  { kind, input, cron, timeZone, name }: NewSchedule,
  now: Date,
  next: Date,
  onConflict: string,
): Promise<ScheduleRow[]> {
  return execute(
    em,
    `insert into schedules (name, kind, input, cron, time_zone, next_run_at, created_at)
     values (?, ?, ?, ?, ?, ?, ?) ${onConflict} returning ${COLUMNS}`,
    [name ?? null, kind, JSON.stringify(input), cron, timeZone, next, now],
  );
}

/** All of them: there are a few. */
export async function listSchedules(reader: Reader): Promise<ScheduleView[]> {
  return (await reader.read<ScheduleRow>(`select ${COLUMNS} from schedules order by id`, [])).map(
    scheduleView,
  );
}

/** @throws {NotFound} | {Conflict} `built-in-schedule` */
export async function deleteSchedule(tx: Tx, id: number): Promise<void> {
  const [row] =
    id > MAX_ID
      ? []
      : await execute<{ name: string | null }>(tx.em, 'select name from schedules where id = ?', [id]);
  if (row === undefined) throw scheduleNotFound(id);
  if (row.name !== null) throw builtInSchedule(row.name);
  tx.changed();
  await execute(tx.em, 'delete from schedules where id = ?', [id]);
}

/** How long until the first of them is due, in milliseconds by the database's clock; undefined when there is none. */
export async function msUntilDue({ dialect, read }: Reader): Promise<number | undefined> {
  const [row] = await read<{ ms: number | null }>(
    `select ${msUntil(dialect, 'min(next_run_at)')} as ms from schedules`,
    [],
  );
  return row?.ms ?? undefined;
}

/**
 * Enqueues what is due, and says how many. Which replica moves `next_run_at` on from the value that it has seen is the
 * one that enqueues, in the same transaction: each firing is one task. Times that went by while nothing ran are one
 * firing, and the next is reckoned from now. One that cannot fire is passed over with a warning, and stays: its kind may
 * be unknown to this version, its input may not fit the kind any more. When its time zone is gone, it is looked at again
 * a day later.
 */
export async function fireDue(
  tx: Tx,
  queue: TaskQueue,
  warn: (schedule: { id: number; kind: string }, why: Refusal) => void,
): Promise<number> {
  const dialect = dialectOf(tx.em);
  const skip = dialect === 'sqlite' ? '' : 'for update skip locked';
  const due = await execute<ScheduleRow & { now: unknown }>(
    tx.em,
    `select ${COLUMNS}, ${databaseNow(dialect)} as now from schedules where next_run_at <= ${databaseNow(dialect)}
     order by next_run_at limit 100 ${skip}`,
  );
  for (const row of due) {
    const now = toDate(row.now);
    const input = JSON.parse(row.input);
    let next = new Date(now.getTime() + DAY_MS);
    let refusal: Refusal | undefined;
    try {
      next = nextRun(row.cron, row.time_zone, now);
      queue.check(row.kind, input);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      refusal = error;
    }
    tx.changed();
    const moved = await execute<unknown>(
      tx.em,
      'update schedules set next_run_at = ?, last_run_at = ? where id = ? and next_run_at = ? returning id',
      [next, now, row.id, toDate(row.next_run_at)],
    );
    if (moved.length === 0) continue;
    if (refusal === undefined) await queue.enqueue(tx, row.kind, input);
    else warn(row, refusal);
  }
  return due.length;
}

function scheduleView(row: ScheduleRow): ScheduleView {
  return {
    id: row.id,
    ...(row.name !== null && { name: row.name }),
    kind: row.kind,
    input: JSON.parse(row.input),
    cron: row.cron,
    timeZone: row.time_zone,
    nextRunAt: toDate(row.next_run_at),
    ...(row.last_run_at !== null && { lastRunAt: toDate(row.last_run_at) }),
    createdAt: toDate(row.created_at),
  };
}

export function scheduleNotFound(id: number): NotFound {
  return new NotFound('schedule-not-found', `There is no schedule ${id}.`);
}

export function builtInSchedule(name: string): Conflict {
  return new Conflict('built-in-schedule', `The schedule ${name} is built in and stays.`);
}
