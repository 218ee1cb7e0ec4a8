import pg from 'pg';
import { PgBoss } from 'pg-boss';
import { DURABILITY_SQL, type OpenQueue } from '../queue.ts';

const QUEUE = 'empty';

/**
 * Workers that fetch in batches, go on at once after a full one (`burstWhenBatchFull`) and are woken by NOTIFY: its
 * options for throughput and for a low latency. As many jobs as may run at once are fetched at once.
 */
export const open: OpenQueue = async ({ url, concurrency, run }) => {
  const boss = new PgBoss({ connectionString: url, useListenNotify: true });
  boss.on('error', (error) => console.error(error));
  await boss.start();
  await boss.createQueue(QUEUE, { notify: true });
  const counts = new pg.Client({ connectionString: url });
  await counts.connect();
  const count = async (condition: string) => {
    const { rows } = await counts.query(
      `select count(*)::int as count from pgboss.job where name = '${QUEUE}' and ${condition}`,
    );
    return rows[0].count;
  };
  return {
    enqueue: () => boss.send(QUEUE, {}),
    work: () =>
      boss.work(QUEUE, { batchSize: concurrency, burstWhenBatchFull: true }, (jobs) =>
        Promise.all(jobs.map(run)),
      ),
    unsettled: () => count(`state < 'completed'`),
    done: () => count(`state = 'completed'`),
    async durability() {
      const { rows } = await boss.getDb().executeSql(DURABILITY_SQL);
      return rows[0];
    },
    async close() {
      await boss.stop({ graceful: true });
      await counts.end();
    },
  };
};
