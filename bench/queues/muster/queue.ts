import { buildApp } from '../../../src/app.ts';
import { loadConfig } from '../../../src/config.ts';
import { defineTask } from '../../../src/tasks/kinds.ts';
import { DURABILITY_SQL, type OpenQueue } from '../queue.ts';

/**
 * The app as `npm start` makes it, with a kind more. Its runner begins when the app is ready, so until then there is
 * none. (Nothing here imports a driver: the service has its own.)
 */
export const open: OpenQueue = async ({ url, concurrency, run }) => {
  const empty = defineTask({ kind: 'empty', description: 'Does nothing.', input: { type: 'object' }, run });
  const env = { DATABASE_URL: url, TASK_CONCURRENCY: String(concurrency), LOG_LEVEL: 'warn' };
  const app = await buildApp(loadConfig(env), process.stderr, { kinds: [empty] });
  const ask = async <Row>(sql: string): Promise<Row[]> => app.orm.em.fork().execute(sql);
  const count = async (condition: string) => {
    const [row] = await ask<{ count: number | string }>(
      `select count(*) as count from tasks where kind = 'empty' and ${condition}`,
    );
    return Number(row?.count);
  };
  return {
    enqueue: () => app.write((tx) => app.tasks.enqueue(tx, empty, {})),
    work: async () => app.ready(),
    unsettled: () => count('finished_at is null'),
    done: () => count(`state = 'succeeded'`),
    async durability() {
      const asked = url.startsWith('sqlite:')
        ? ['pragma journal_mode', 'pragma synchronous']
        : [DURABILITY_SQL];
      const answers = await Promise.all(asked.map((sql) => ask<object>(sql)));
      return Object.assign({}, ...answers.flat());
    },
    close: () => app.close(),
  };
};
