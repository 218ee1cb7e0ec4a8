import type { EntityManager } from '@mikro-orm/sql';
import { given, toGiven } from '../db/given.ts';
import { dialectOf, execute } from '../db/statement.ts';
import type { Tx } from '../db/tx.ts';
import type { ChangeType } from './change.entity.ts';

/** Rung when changes have been committed. */
export const CHANGES = 'changes';

interface NewChange {
  type: ChangeType;
  userId: number;
  /** The user's after it: one more than before. */
  version: number;
  /** The user after it, as it is shown; null when there is none any more. */
  user: object | null;
  /** Those of `name`, `email` and `attributes` that are not as they were. */
  changedFields: readonly string[];
  /** Who asked for it; null when nobody had to say so. */
  actor: string | null;
  at: Date;
}

/**
 * Appends a change to the log, in the caller's transaction: it is there if, and only if, that commits. To be called in
 * the same turn as the change of the user itself, so that the changes of one user stand in order.
 */
export function recordChange(tx: Tx, change: NewChange): void {
  tx.ring(CHANGES);
  tx.last('changes', change, (changes: readonly NewChange[]) => insertChanges(tx.em, changes));
}

/** The lock's number is one that nothing else in this database locks: the letters "change" as a 48-bit integer. */
const TURN = `with turn as materialized (select pg_advisory_xact_lock(${0x6368616e6765}))`;

/**
 * Positions have to become visible in order: whoever has seen one must never find a smaller one later. SQLite has one
 * writer. On PostgreSQL a number is drawn when a row is inserted and seen when its transaction commits, so all who
 * append take turns: the lock is taken before the first number is drawn, as the last thing that a transaction does, and
 * is held until its commit is visible. With it, nothing else is waited for.
 */
async function insertChanges(em: EntityManager, changes: readonly NewChange[]): Promise<void> {
  const dialect = dialectOf(em);
  const rows = changes.map(({ user, changedFields, at, userId, ...change }, n) => ({
    n,
    ...change,
    user_id: userId,
    state: user,
    changed_fields: changedFields,
    at: toGiven(dialect, at),
  }));
  const [turn, inTurn] = dialect === 'sqlite' ? ['', ''] : [TURN, ', turn'];
  const columns = {
    type: 'text',
    user_id: 'int',
    version: 'int',
    state: 'json',
    changed_fields: 'json',
    actor: 'text',
    at: 'time',
  } as const;
  const names = Object.keys(columns).join(', ');
  await execute(
    em,
    `insert into changes (${names}) ${turn} select ${names}
     from ${given(dialect, { n: 'int', ...columns })}${inTurn} where true order by n`,
    [JSON.stringify(rows)],
  );
}
