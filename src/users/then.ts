import { findLastChange, type Moment } from '../changes/history.ts';
import { positionGone, readExtent } from '../changes/log.ts';
import { toDate } from '../db/dialect.ts';
import type { Reader } from '../db/reader.ts';
import type { Malformed } from '../errors.ts';
import { invalidParameter } from '../http/problems.ts';
import { userJson } from './user-json.ts';
import { findUsers, userNotFound } from './users.ts';

/** A user as they were: as JSON, and the version that they had. */
interface UserThen {
  json: string;
  version: number;
}

/**
 * The user as they were right after a position of the log, or at a time.
 * @throws {NotFound} when they were not there, or have been erased
 * @throws {Gone} `position-gone` when the log does not go back so far
 */
export async function findUserThen(reader: Reader, id: number, at: string): Promise<UserThen> {
  const moment = readMoment(at);
  let change = await findLastChange(reader, id, moment);
  if (change === 'unchanged') {
    const user = await unchangedSince(reader, id, moment);
    // It may have changed between the two looks: then its first change says so.
    change = await findLastChange(reader, id, moment);
    if (change === 'unchanged') return user;
  }
  if (change === 'forgotten') throw positionGone(await readExtent(reader));
  if (change === 'absent' || change.state === null) throw userNotFound(id);
  return { json: change.state, version: change.version };
}

/** No change of theirs is kept: if they are there, they have not changed since before the start of the log. */
async function unchangedSince(reader: Reader, id: number, moment: Moment): Promise<UserThen> {
  const [row] = await findUsers(reader, [id]);
  if (row === undefined) throw userNotFound(id);
  const isKnown = 'position' in moment || toDate(row.updated_at) <= moment.time;
  if (!isKnown) throw positionGone(await readExtent(reader));
  return { json: userJson(row), version: row.version };
}

export const At = {
  type: 'string',
  minLength: 1,
  maxLength: 40,
  description:
    'a position of the log, or a time (RFC 3339, with an offset): the user as they were then, all changes up to it included',
  examples: ['2026-03-01T12:00:00Z'],
} as const;

/** RFC 3339 §5.6, but for leap seconds, which a `Date` cannot hold. */
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:[0-5]\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/i;

/** @throws {Malformed} for what is neither */
function readMoment(at: string): Moment {
  if (/^\d{1,15}$/.test(at)) return { position: Number(at) };
  const time = new Date(TIME.test(at) ? at : Number.NaN);
  const year = time.getUTCFullYear();
  if (year >= 1 && year <= 9999) return { time };
  throw invalidMoment();
}

export function invalidMoment(): Malformed {
  const detail = 'must be a position, or a time as in 2026-03-01T12:00:00Z (`+` is %2B in a URL)';
  return invalidParameter('query', '#/at', detail);
}
