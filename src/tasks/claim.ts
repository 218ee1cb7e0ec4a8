import { along } from '../db/dialect.ts';
import { dialectOf } from '../db/statement.ts';
import { fromNow, now } from '../db/time.ts';
import type { Tx } from '../db/tx.ts';
import { LEASE_MS } from './runner-options.ts';

/** A task that this runner has from now on. `input` and `checkpoint` are JSON text. */
export interface Claimed {
  id: number;
  kind: string;
  input: string;
  checkpoint: string | null;
  attempt: number;
  max_attempts: number;
  losses: number;
  actor: string | null;
  /** The span of whoever has enqueued it, by the words of W3C Trace Context. */
  traceparent: string | null;
}

/** What a runner can take: `free` in all, of each kind at most so many, and of those that take no slot `waiting`. */
export interface Room {
  free: number;
  kinds: readonly { kind: string; most: number }[];
  waiting: readonly string[];
  /** Only tasks whose runners have vanished twice, or only others: see `slots.ts`. */
  suspects: boolean;
}

/** Of each kind that takes no slot, with one statement. */
const WAITING_AT_ONCE = 100;

/**
 * Takes the foremost queued tasks with one statement. Each kind is a range of the index of its own, so that a full kind
 * costs nothing however many of it wait. On PostgreSQL a row that another replica is just taking is skipped, not waited
 * for; on SQLite nobody else is there.
 *
 * (Looking first and updating then gives `database is locked` with two writers, and a task to both on PostgreSQL.)
 */
export async function claim(tx: Tx, runner: string, room: Room): Promise<Claimed[]> {
  const dialect = dialectOf(tx.em);
  const skip = dialect === 'sqlite' ? '' : 'for update skip locked';
  const losses = room.suspects ? 'losses >= 2' : 'losses < 2';
  const index = along(dialect, room.suspects ? 'tasks_suspect' : 'tasks_queued');
  const range = `select * from (select id, priority from tasks ${index} where state = 'queued' and ${losses} and kind = ?
    order by priority desc, id limit ? ${skip}) as ready`;
  const parts: string[] = [];
  const values: unknown[] = [];
  if (room.kinds.length > 0) {
    const ranges = room.kinds.map(() => range).join(' union all ');
    parts.push(`select id from (${ranges} order by priority desc, id limit ?) as foremost`);
    for (const { kind, most } of room.kinds) values.push(kind, most);
    values.push(room.free);
  }
  for (const kind of room.waiting) {
    parts.push(`select id from (${range}) as waiting`);
    values.push(kind, WAITING_AT_ONCE);
  }
  if (parts.length === 0) return [];
  const claimed = await tx.execute<Claimed & { priority: number }>(
    `update tasks set state = 'running', attempt = attempt + 1, runner = ?, started_at = ${now(dialect)},
       lease_until = ${fromNow(dialect, LEASE_MS)}
     where id in (${parts.join(' union all ')})
     returning id, kind, cast(input as text) as input, cast(checkpoint as text) as checkpoint, attempt, max_attempts,
       losses, actor, traceparent, priority`,
    [runner, ...values],
  );
  return claimed.sort((a, b) => b.priority - a.priority || a.id - b.id);
}
