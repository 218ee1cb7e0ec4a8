import { look } from '../src/tasks/upkeep.ts';
import { onEachDatabase } from './support/databases.ts';
import { startExplaining } from './support/plans.ts';
import { startTasks } from './support/tasks.ts';

/** What is asked of the table of tasks outside of transactions, and the index that each has to go along. */
const LISTS: [query: string, index: RegExp][] = [
  ['', /tasks_pkey|INTEGER PRIMARY KEY|SCAN tasks$/],
  ['kind=sleep', /tasks_kind_id/],
  ['state=failed', /tasks_state_id/],
  ['state=failed&kind=sleep', /tasks_state_id/],
  ['state=succeeded&kind=sleep', /tasks_kind_id/],
];

onEachDatabase(
  'every list of tasks, and a runner’s look, goes along indexes and sorts nothing',
  async (t, dialect) => {
    const { app, request } = await startTasks(t, dialect, []);
    const runAt = new Date(Date.now() + 86_400_000);
    await app.write(async (tx) => {
      for (let n = 0; n < 300; n++) await app.tasks.enqueue(tx, 'sleep', { ms: 0 }, { runAt });
    });
    const explain = await startExplaining(t, app, dialect);
    const reads = t.capture(app.reader, 'read', app.reader.read);
    for (const [query, index] of LISTS) {
      reads();
      await request('GET', `/tasks?limit=5&${query}`);
      const asked = reads().find(({ args }) => String(args[0]).includes('order by id desc'));
      const plan = await explain(asked?.args[0] ?? '', asked?.args[1] ?? []);
      t.match(plan, index, `${query}\n${plan}`);
      t.notMatch(plan, /Seq Scan|TEMP B-TREE|Sort\b/, query);
    }
    reads();
    await look(app.reader, 'nobody', ['sleep', 'gather']);
    const asked = reads().find(({ args }) => String(args[0]).includes('suspects'));
    const plan = await explain(asked?.args[0] ?? '', asked?.args[1] ?? []);
    for (const index of ['tasks_queued', 'tasks_suspect', 'tasks_scheduled', 'tasks_running']) {
      t.match(plan, index, plan);
    }
    t.notMatch(plan, /Seq Scan|SCAN tasks$/m);
  },
);
