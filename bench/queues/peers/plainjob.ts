import Database from 'better-sqlite3';
import { better, defineQueue, defineWorker } from 'plainjob';
import type { OpenQueue } from '../queue.ts';

const logger = { error: console.error, warn: console.warn, info: () => {}, debug: () => {} };

/** Its worker runs one job at a time, so there is one for each job that may run at once. */
export const open: OpenQueue = async ({ url, concurrency, run }) => {
  const db = new Database(url.slice('sqlite:'.length));
  const queue = defineQueue({ connection: better(db), logger });
  db.pragma('synchronous = FULL'); // it sets NORMAL
  const workers = Array.from({ length: concurrency }, () => defineWorker('empty', run, { queue, logger }));
  const running: Promise<void>[] = [];
  const count = async (condition: string) =>
    Number(db.prepare(`select count(*) from plainjob_jobs where ${condition}`).pluck().get());
  return {
    enqueue: async () => queue.add('empty', {}),
    work: async () => void running.push(...workers.map((worker) => worker.start())),
    unsettled: () => count('status in (0, 1)'),
    done: () => count('status = 2'),
    durability: async () => ({
      journal_mode: db.pragma('journal_mode', { simple: true }),
      synchronous: db.pragma('synchronous', { simple: true }),
    }),
    async close() {
      if (running.length > 0) await Promise.all(workers.map((worker) => worker.stop()));
      await Promise.all(running);
      queue.close();
    },
  };
};
