import { MAX_ID } from '../db/dialect.ts';
import type { Reader } from '../db/reader.ts';
import { CHANGE_COLUMNS, type ChangeRow, requireKept } from './log.ts';

/** At most `limit` changes of one user, newest first, those before a version. */
export async function readHistory(
  reader: Reader,
  userId: number,
  limit: number,
  before?: number,
): Promise<ChangeRow[]> {
  if (userId > MAX_ID) return [];
  const beyond = before === undefined ? '' : 'and version < ?';
  return reader.read<ChangeRow>(
    `select ${CHANGE_COLUMNS} from changes where user_id = ? ${beyond} order by version desc limit ?`,
    [userId, ...(before === undefined ? [] : [before]), limit],
  );
}

/** A position of the log, or a time. */
export type Moment = { position: number } | { time: Date };

/**
 * The last change of a user up to a moment, that included. Else `absent`: the user was not there yet; `unchanged`: no
 * change of theirs is kept; or `forgotten`: those up to the moment are not, but later ones are.
 * @throws {Gone} `position-gone` for a position whose changes are not kept, or that is none of this log
 */
export async function findLastChange(
  reader: Reader,
  userId: number,
  moment: Moment,
): Promise<ChangeRow | 'absent' | 'unchanged' | 'forgotten'> {
  if (userId > MAX_ID) return 'absent';
  if ('position' in moment) await requireKept(reader, moment.position);
  const [column, value] = 'time' in moment ? ['at', moment.time] : ['position', moment.position];
  const [change] = await reader.read<ChangeRow>(
    `select ${CHANGE_COLUMNS} from changes where user_id = ? and ${column} <= ? order by version desc limit 1`,
    [userId, value],
  );
  if (change !== undefined) return change;
  const [first] = await reader.read<ChangeRow>(
    `select ${CHANGE_COLUMNS} from changes where user_id = ? order by version limit 1`,
    [userId],
  );
  if (first === undefined) return 'unchanged';
  return first.type === 'user.created' ? 'absent' : 'forgotten';
}
