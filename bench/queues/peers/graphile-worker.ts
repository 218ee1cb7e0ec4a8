import { Logger, makeWorkerUtils, type Runner, run } from 'graphile-worker';
import pg from 'pg';
import { DURABILITY_SQL, type OpenQueue } from '../queue.ts';

/** Warnings and errors only: by default it logs each job. */
const logger = new Logger(() => (level, message) => {
  if (level === 'error' || level === 'warning') console.error(message);
});

/**
 * With the batching that its page on performance measures empty jobs with (a local queue of 500, completions gathered
 * without a delay), and a pool of the size that its configuration recommends. A completed job is deleted.
 */
export const open: OpenQueue = async ({ url, concurrency, run: task }) => {
  const pgPool = new pg.Pool({ connectionString: url, max: Math.max(10, concurrency + 2) });
  const utils = await makeWorkerUtils({ pgPool, logger });
  await utils.migrate();
  let runner: Runner | undefined;
  return {
    enqueue: () => utils.addJob('empty', {}),
    async work() {
      runner = await run({
        pgPool,
        logger,
        noHandleSignals: true,
        taskList: { empty: task },
        preset: {
          worker: {
            concurrentJobs: concurrency,
            localQueue: { size: 500 },
            completeJobBatchDelay: 0,
            failJobBatchDelay: 0,
          },
        },
      });
    },
    async unsettled() {
      const { rows } = await pgPool.query('select count(*)::int as count from graphile_worker.jobs');
      return rows[0].count;
    },
    done: async () => undefined,
    durability: async () => (await pgPool.query(DURABILITY_SQL)).rows[0],
    async close() {
      await runner?.stop();
      await utils.release();
      await pgPool.end();
    },
  };
};
