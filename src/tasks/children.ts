import { isAmong } from '../db/dialect.ts';
import { given } from '../db/given.ts';
import type { Reader } from '../db/reader.ts';
import { dialectOf } from '../db/statement.ts';
import { now } from '../db/time.ts';
import type { Tx } from '../db/tx.ts';
import { type Row, shown, type TaskView } from './view.ts';

/** The statements of a task that runs others and waits for them. */

interface NewChild {
  kind: string;
  input: unknown;
  max_attempts: number;
  place: number;
  /** `scheduled`: held back until others have ended. */
  state: 'queued' | 'scheduled';
}

/** Inserts the next children of a task, with its priority and actor. Those that are not let go wait for `releaseChildren`. */
export async function insertChildren(
  tx: Tx,
  parentId: number,
  children: readonly NewChild[],
  traceparent?: string,
): Promise<void> {
  const dialect = dialectOf(tx.em);
  const columns = { kind: 'text', input: 'json', max_attempts: 'int', place: 'int', state: 'text' } as const;
  await tx.execute(
    `insert into tasks (kind, state, run_at, priority, input, attempt, max_attempts, losses, parent_id, place, actor,
       traceparent, created_at)
     select kind, state, case when state = 'queued' then ${now(dialect)} end,
       (select priority from tasks where id = ?), input, 0, max_attempts, 0, ?, place,
       (select actor from tasks where id = ?), cast(? as text), ${now(dialect)}
     from ${given(dialect, columns)} order by place`,
    [parentId, parentId, parentId, traceparent ?? null, JSON.stringify(children)],
  );
}

/**
 * Lets the next children go, until `most` of them are on their way (those that wait for another attempt among them).
 * Running it twice lets no more go.
 */
export async function releaseChildren(tx: Tx, parentId: number, most: number): Promise<void> {
  const dialect = dialectOf(tx.em);
  await tx.execute(
    `update tasks set state = 'queued', run_at = ${now(dialect)} where id in (
       select id from tasks where parent_id = ? and state = 'scheduled' and run_at is null order by place
       limit (select case when count(*) >= ? then 0 else ? - count(*) end from tasks where parent_id = ?
         and (state in ('queued', 'running') or (state = 'scheduled' and run_at is not null))))`,
    [parentId, most, most, parentId],
  );
}

export interface Tally {
  total: number;
  finished: number;
  /** Held back until others have ended. */
  held: number;
  failed: number;
}

/** Of each of these tasks. */
export async function tallyChildren(reader: Reader, parentIds: readonly number[]): Promise<Tally[]> {
  const rows = await reader.read<Tally & { parent_id: number }>(
    `select parent_id, cast(count(*) as int) as total, cast(count(finished_at) as int) as finished,
       cast(count(case when state = 'scheduled' and run_at is null then 1 end) as int) as held,
       cast(count(case when state in ('failed', 'cancelled') then 1 end) as int) as failed
     from tasks where ${isAmong(reader.dialect, 'parent_id')} group by parent_id`,
    [parentIds],
  );
  const byId = new Map(rows.map((row) => [row.parent_id, row]));
  return parentIds.map((id) => byId.get(id) ?? { total: 0, finished: 0, held: 0, failed: 0 });
}

export type ChildEnd = Pick<TaskView, 'id' | 'kind' | 'state' | 'result' | 'error'>;

/** How the children ended, in the order in which they were given. By pages: their results may be large. */
export async function childrenEnds(reader: Reader, parentId: number): Promise<ChildEnd[]> {
  const ends: ChildEnd[] = [];
  for (;;) {
    const rows = await reader.read<Row>(
      `select id, kind, state, cast(result as text) as result, cast(error as text) as error
       from tasks where parent_id = ? and place >= ? order by place limit 500`,
      [parentId, ends.length],
    );
    ends.push(...rows.map(shown<ChildEnd>));
    if (rows.length < 500) return ends;
  }
}
