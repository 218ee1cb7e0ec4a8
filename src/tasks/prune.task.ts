import type { EntityManager } from '@mikro-orm/sql';
import { execute } from '../db/statement.ts';
import { defineTask, type TaskKind } from './kinds.ts';

/** At most so many rows in one transaction: others wait for it. */
const BATCH = 1000;
const DAY_MS = 86_400_000;

/** Something that is kept for so long. `before` deletes at most `most` rows that are older, and says how many it was. */
export interface Prunable {
  name: string;
  days: number;
  before(em: EntityManager, time: Date, most: number): Promise<number>;
}

/** Deletes what has been kept long enough. What that is, is the list's to say: it knows no feature. */
export function pruneOf(prunables: readonly Prunable[]): TaskKind<Record<string, never>> {
  return defineTask({
    kind: 'prune',
    description: 'Deletes what has been kept long enough: finished tasks and stored answers.',
    input: { type: 'object', properties: {}, additionalProperties: false, examples: [{}] },
    concurrency: 1,
    async run({ write, signal, progress }) {
      const deleted: Record<string, number> = {};
      let all = 0;
      for (const { name, days, before } of prunables) {
        const time = new Date(Date.now() - days * DAY_MS);
        deleted[name] = 0;
        // Until nothing is left: a parent can go when its children have.
        for (let last = BATCH; last > 0; ) {
          signal.throwIfAborted();
          last = await write((tx) => before(tx.em, time, BATCH));
          deleted[name] += last;
          all += last;
          progress(all);
        }
      }
      return { deleted };
    },
  });
}

/**
 * Finished tasks. Children go before their parents, a thousand rows at a time, and never while something above them is
 * kept that may still read how they ended, perhaps when it is retried. The time is asked for twice: on PostgreSQL the
 * inner question is not asked again after a wait for somebody who retries the task.
 */
export async function pruneTasks(em: EntityManager, time: Date, most: number): Promise<number> {
  const rows = await execute<unknown>(
    em,
    `delete from tasks where finished_at < ? and id in (
       select id from tasks as old where finished_at < ?
         and not exists (select 1 from tasks as child where child.parent_id = old.id)
         and not exists (
           with recursive above (parent_id, finished_at) as (
             select parent_id, finished_at from tasks where id = old.parent_id
             union all select tasks.parent_id, tasks.finished_at from tasks join above on tasks.id = above.parent_id)
           select 1 from above where finished_at is null or finished_at >= ?)
       order by finished_at limit ?) returning id`,
    [time, time, time, most],
  );
  return rows.length;
}
