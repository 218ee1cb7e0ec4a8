import type { Database } from 'better-sqlite3';
import { buildDBClient, Runner, SqliteQueue } from 'liteque';
import type { OpenQueue } from '../queue.ts';

/** As in its README. A job that is done is deleted. */
export const open: OpenQueue = async ({ url, concurrency, run }) => {
  const db = buildDBClient(url.slice('sqlite:'.length), { runMigrations: true });
  // It opens the file itself, sets NORMAL, and gives nobody the connection.
  const connection = (db as unknown as { session: { client: Database } }).session.client;
  connection.pragma('synchronous = FULL');
  // Its claim is an async function inside better-sqlite3's `transaction()`, which ended before the function's first
  // statement ran, and which better-sqlite3 refuses by now. Without that transaction every statement commits alone, as
  // it always did.
  Object.assign(db, { transaction: (work: (tx: typeof db) => unknown) => work(db) });
  const queue = new SqliteQueue<object>('empty', db, {
    defaultJobArgs: { numRetries: 2 },
    keepFailedJobs: false,
  });
  const runner = new Runner<object>(queue, { run }, { concurrency, pollIntervalMs: 1000, timeoutSecs: 60 });
  let running: Promise<void> | undefined;
  return {
    enqueue: () => queue.enqueue({}),
    work: async () => {
      running = runner.run();
    },
    async unsettled() {
      const { pending, pending_retry, running, failed } = await queue.stats();
      return pending + pending_retry + running + failed;
    },
    done: async () => undefined,
    durability: async () => ({
      journal_mode: connection.pragma('journal_mode', { simple: true }),
      synchronous: connection.pragma('synchronous', { simple: true }),
    }),
    async close() {
      runner.stop();
      await running;
    },
  };
};
