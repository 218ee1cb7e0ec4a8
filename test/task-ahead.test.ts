import { setImmediate as turn } from 'node:timers/promises';
import { defineTask } from '../src/tasks/kinds.ts';
import { startApp } from './support/app.ts';
import { emptyDatabase, onEachDatabase } from './support/databases.ts';
import { settled } from './support/tasks.ts';

const MANY = 200;

onEachDatabase(
  'quick tasks are claimed ahead, many by one transaction, and run no more at once than allowed',
  async (t, dialect) => {
    let [running, most, claims] = [0, 0, Infinity];
    const quick = defineTask({
      kind: 'quick',
      description: 'Is over soon.',
      input: { type: 'object' } as const,
      async run() {
        most = Math.max(most, ++running);
        await turn();
        running--;
      },
    });
    const reached = (step: string) => void (step === 'claimed' && claims++);
    const { app } = await startApp(t, dialect, { taskConcurrency: 2 }, { kinds: [quick], reached });
    // One claim that takes long, and as few are claimed ahead as in the beginning.
    for (let batch = 0; claims >= MANY / 4 && batch < 10; batch++) {
      claims = 0;
      const tasks = await app.write((tx) =>
        Promise.all(Array.from({ length: MANY }, () => app.tasks.enqueue(tx, quick, {}))),
      );
      for (const { id } of tasks) t.match(await settled(app, id), { state: 'succeeded', attempt: 1 });
    }
    t.equal(most, 2);
    t.ok(claims < MANY / 4, `${claims} claims`);
  },
);

onEachDatabase(
  'what waits behind a task that takes its time is given back, to whoever has room',
  async (t, dialect) => {
    const databaseUrl = await emptyDatabase(t, dialect);
    const held = Promise.withResolvers<void>();
    const kinds = [
      defineTask({
        kind: 'some',
        description: 'Is over soon, or not.',
        input: { type: 'object', properties: { slow: { type: 'boolean' } } } as const,
        run: async ({ input }) => (input.slow ? held.promise : undefined),
      }),
    ];
    const [some] = kinds;
    if (some === undefined) throw new Error('no kind');
    const first = await startApp(t, dialect, { databaseUrl, taskConcurrency: 1 }, { kinds });
    const tasks = await first.app.write((tx) =>
      Promise.all(
        Array.from({ length: MANY }, (_, at) => first.app.tasks.enqueue(tx, some, { slow: at === MANY / 2 })),
      ),
    );
    const slow = tasks[MANY / 2]?.id ?? 0;
    await settled(first.app, slow, ({ state }) => state === 'running');
    const lastOnes = tasks.slice(MANY / 2 + 1);
    // On SQLite nobody else is there: they are only no longer said to be running.
    if (dialect === 'postgresql') {
      const second = await startApp(t, dialect, { databaseUrl, taskConcurrency: 1 }, { kinds });
      for (const { id } of lastOnes) await settled(second.app, id);
    } else {
      for (const { id } of lastOnes) await settled(first.app, id, ({ state }) => state === 'queued');
    }
    t.match(await first.app.tasks.watch.find(slow), { state: 'running' });
    held.resolve();
    for (const { id } of tasks) t.match(await settled(first.app, id), { state: 'succeeded', attempt: 1 });
  },
);
