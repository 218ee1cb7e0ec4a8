import { setImmediate as turn } from 'node:timers/promises';
import type { EntityManager } from '@mikro-orm/sql';
import { isAmong, toRfc3339 } from '../db/dialect.ts';
import { Damaged } from '../db/failures.ts';
import type { Reader } from '../db/reader.ts';
import { execute } from '../db/statement.ts';
import { Gone } from '../errors.ts';
import type { ChangeType } from './change.entity.ts';
import { epochGone } from './epoch.ts';

/** A row of `changes` as a plain query gives it. JSON is text; PostgreSQL's driver gives a bigint as text. */
export interface ChangeRow {
  position: number | string;
  type: ChangeType;
  user_id: number;
  version: number;
  state: string | null;
  changed_fields: string;
  actor: string | null;
  at: unknown;
}

export const CHANGE_COLUMNS =
  'position, type, user_id, version, cast(state as text) as state, ' +
  'cast(changed_fields as text) as changed_fields, actor, at';

/** A change as the schema `Change` shows it. The user is put through as it was stored. */
export function changeJson(row: ChangeRow): string {
  const actor = JSON.stringify(row.actor);
  return (
    `{"position":${row.position},"type":"${row.type}","userId":${row.user_id},"version":${row.version},` +
    `"user":${row.state},"changedFields":${row.changed_fields},"actor":${actor},"at":"${toRfc3339(row.at)}"}`
  );
}

/** From where to where the log can be read: all positions after `keptAfter`, up to `head`. */
export interface Extent {
  keptAfter: number;
  head: number;
  epoch: string;
}

/** In SQL, of the one row of `change_log`: the position of the last change. */
export const HEAD = 'coalesce((select max(position) from changes), kept_after)';

export async function readExtent(reader: Reader): Promise<Extent> {
  const [row] = await reader.read<{ kept_after: unknown; head: unknown; epoch: string }>(
    `select kept_after, ${HEAD} as head, epoch from change_log`,
    [],
  );
  const [keptAfter, head] = [Number(row?.kept_after), Number(row?.head)];
  // Without its one row the log would look empty.
  if (row === undefined || !(keptAfter <= head))
    throw new Damaged('change_log does not tell how far the log goes');
  return { keptAfter, head, epoch: row.epoch };
}

/**
 * @throws {Gone} `position-gone` when what follows this position is not kept, or it is none of this log; `epoch-gone` when
 * it is of the log that was there before a restore
 */
export async function requireKept(
  reader: Reader,
  position: number | undefined,
  epoch?: string,
): Promise<Extent> {
  const extent = await readExtent(reader);
  if (epoch !== undefined && epoch !== extent.epoch) throw epochGone();
  if (position === undefined) return extent;
  if (position < extent.keptAfter || position > extent.head) throw positionGone(extent);
  return extent;
}

export function positionGone({ keptAfter, head }: Pick<Extent, 'keptAfter' | 'head'>): Gone {
  return new Gone(
    'position-gone',
    `The log can be read after positions ${keptAfter} to ${head}. Read GET /users, and go on from its Muster-Position.`,
  );
}

interface LogPage {
  changes: ChangeRow[];
  /** All up to this position have been looked at. */
  upTo: number;
  head: number;
}

/** Changes of one type may be far apart: so many positions are looked through at a time, in about 2 ms. */
const WINDOW = 5000;

/** Of one page, so that nobody has the whole log looked through with one request. */
const MOST_WINDOWS = 40;

/**
 * At most `limit` changes after a position, in order, of these types or of all. `upTo` may come before both the limit and
 * the head.
 * @throws {Gone} `position-gone` when what follows the position is not kept, or was pruned while it was read
 */
export async function readChanges(
  reader: Reader,
  after: number,
  limit: number,
  types?: readonly ChangeType[],
): Promise<LogPage> {
  const { head } = await readExtent(reader);
  const changes: ChangeRow[] = [];
  const ofType = types === undefined ? '' : `and ${isAmong(reader.dialect, 'type', 'text')}`;
  let upTo = after;
  for (let windows = 0; upTo < head && changes.length < limit && windows < MOST_WINDOWS; windows++) {
    if (windows > 0) await turn(); // on SQLite nothing else would have its turn meanwhile
    const to = types === undefined ? head : Math.min(head, upTo + WINDOW);
    const rows = await reader.read<ChangeRow>(
      `select ${CHANGE_COLUMNS} from changes where position > ? and position <= ? ${ofType} order by position limit ?`,
      [upTo, to, ...(types === undefined ? [] : [types]), limit - changes.length],
    );
    changes.push(...rows);
    const last = rows.at(-1);
    upTo = changes.length === limit && last !== undefined ? Number(last.position) : to;
  }
  const extent = await readExtent(reader);
  if (after < extent.keptAfter) throw positionGone(extent);
  return { changes, upTo, head };
}

/** A change as it is now; undefined when it is not kept any more. */
export async function readChange(reader: Reader, position: number | string): Promise<ChangeRow | undefined> {
  const sql = `select ${CHANGE_COLUMNS} from changes where position = ?`;
  return (await reader.read<ChangeRow>(sql, [position]))[0];
}

/**
 * Forgets the changes that were made before `time`, at most so many, from the start of the log and without a hole: it
 * stops at the first that is younger, whatever the clocks of the replicas said. Gives how many it was.
 */
export async function pruneChanges(em: EntityManager, time: Date, most: number): Promise<number> {
  const oldest = `(select position, at from changes order by position limit ?) as oldest`;
  const [last] = await execute<{ position: unknown }>(
    em,
    `select max(position) as position from ${oldest}
     where position < coalesce((select min(position) from ${oldest} where at >= ?), position + 1)`,
    [most, most, time],
  );
  if (last?.position == null) return 0;
  // On PostgreSQL another prune may have gone further meanwhile.
  await execute(em, 'update change_log set kept_after = ? where kept_after < ?', [
    last.position,
    last.position,
  ]);
  const rows = await execute<unknown>(em, 'delete from changes where position <= ? returning position', [
    last.position,
  ]);
  return rows.length;
}
