import type { EntityManager } from '@mikro-orm/sql';
import { isSqlite } from '../db/dialect.ts';
import { listed } from '../db/given.ts';
import { now } from '../db/time.ts';

/**
 * Cancels what is below these tasks and not finished: at once what waits, and of what runs the runner is told. With
 * `self`, the tasks themselves as well. Gives the ids and whether each runs.
 */
export async function cancelDescendants(
  em: EntityManager,
  ids: readonly number[],
  { self = false } = {},
): Promise<{ id: number; state: string }[]> {
  if (ids.length === 0) return [];
  const dialect = isSqlite(em) ? 'sqlite' : 'postgresql';
  const first = self ? 'id' : 'parent_id';
  return em.execute(
    `with recursive family (id) as (
       select id from tasks where ${first} in (${listed(dialect, 'int')})
       union select tasks.id from tasks join family on tasks.parent_id = family.id)
     update tasks set cancel_requested_at = coalesce(cancel_requested_at, ${now(dialect)}),
       state = case when state = 'running' then state else 'cancelled' end,
       finished_at = case when state = 'running' then null else ${now(dialect)} end
     where id in (select id from family) and finished_at is null
     returning id, state`,
    [JSON.stringify(ids)],
  );
}
