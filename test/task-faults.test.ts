import t from 'tap';
import { Type } from 'typebox';
import { defineTask } from '../src/tasks/kinds.ts';
import { emptyDatabase, onEachDatabase, postgresServer } from './support/databases.ts';
import { tookAtMost } from './support/in-time.ts';
import { settled, startTasks } from './support/tasks.ts';

/** Adds a user in the transaction of its checkpoint, and counts its runs. */
function adding() {
  const runs: number[] = [];
  const kind = defineTask({
    kind: 'adding',
    description: 'Adds a user.',
    input: Type.Object({ n: Type.Integer() }),
    maxAttempts: 100,
    async run({ input, checkpoint, save }) {
      runs.push(input.n);
      if (checkpoint !== undefined) return;
      await save(async (tx) => {
        const now = new Date();
        const name = `n${input.n}`;
        await tx.em.execute(
          `insert into users (name, name_key, email, email_key, search_key, attributes, version, created_at, updated_at)
           values (?, ?, ?, ?, '', '{}', 1, ?, ?)`,
          [name, name, `${name}-${Math.random()}`, `${name}-${Math.random()}`, now, now],
        );
        return true;
      });
    },
  });
  return { kind, runs };
}

t.test('a task that runs on another replica is cancelled within two seconds', async (t) => {
  const databaseUrl = await emptyDatabase(t, 'postgresql');
  let toldAt = 0;
  const endless = defineTask({
    kind: 'endless',
    description: 'Never ends by itself.',
    input: Type.Object({}),
    run: ({ signal }) =>
      new Promise((_resolve, reject) =>
        signal.addEventListener('abort', () => {
          toldAt = performance.now();
          reject(signal.reason);
        }),
      ),
  });
  const first = await startTasks(t, 'postgresql', [endless], { databaseUrl });
  const second = await startTasks(t, 'postgresql', [], { databaseUrl });
  const took = await tookAtMost(2000, async () => {
    const { id } = await first.app.write((tx) => first.app.tasks.enqueue(tx, endless, {}));
    await settled(first.app, id, ({ state }) => state === 'running');
    const asked = performance.now();
    await second.request('POST', `/tasks/${id}/cancel`);
    t.match(await settled(second.app, id), { state: 'cancelled' });
    return toldAt - asked;
  });
  t.ok(took < 2000, `${took} ms`);
});

t.test('without the bell another replica hears of it within two seconds, too', async (t) => {
  const databaseUrl = await emptyDatabase(t, 'postgresql');
  const work = defineTask({
    kind: 'work',
    description: 'Works.',
    input: Type.Object({}),
    run: async () => 1,
  });
  const first = await startTasks(t, 'postgresql', [work], { databaseUrl });
  let id = 0;
  const took = await tookAtMost(2500, async () => {
    const asked = performance.now();
    await first.app.write(({ em }) =>
      em.execute(
        `insert into tasks (kind, state, priority, input, attempt, max_attempts, losses, created_at)
         values ('work', 'queued', 0, '{}', 0, 1, 0, ?)`,
        [new Date()],
      ),
    );
    t.match(await settled(first.app, ++id), { state: 'succeeded' });
    return performance.now() - asked;
  });
  t.ok(took < 2500, `${took} ms`);
});

t.test('a restart of PostgreSQL and killed backends, under load: nothing lost, nothing twice', async (t) => {
  const server = await postgresServer();
  const databaseUrl = await emptyDatabase(t, 'postgresql');
  const { kind, runs } = adding();
  const apps = [
    await startTasks(t, 'postgresql', [kind], { databaseUrl, logLevel: 'fatal' }),
    await startTasks(t, 'postgresql', [kind], { databaseUrl, logLevel: 'fatal' }),
  ];
  const enqueued: number[] = [];
  let stop = false;
  const load = (async () => {
    for (let n = 0; !stop; n++) {
      const one = apps[n % 2];
      try {
        const task = await one?.app.write((tx) => one.app.tasks.enqueue(tx, kind, { n }));
        enqueued.push(task?.id ?? 0);
      } catch {
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    }
  })();
  const some = async (count: number) => {
    const goal = enqueued.length + count;
    while (enqueued.length < goal) await new Promise((resolve) => setTimeout(resolve, 5));
  };
  await some(50);
  for (let round = 0; round < 5; round++) {
    await server.query(
      `select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'muster'`,
    );
    await some(20);
  }
  await server.restart();
  await some(50);
  stop = true;
  await load;
  const app = apps[0]?.app;
  if (app === undefined) throw new Error('no app');
  for (const id of enqueued) t.match(await settled(app, id), { state: 'succeeded' });
  const twice = await app.reader.read(`select name from users group by name having count(*) > 1`, []);
  t.strictSame(twice, [], 'no task did its work twice');
  const left = await app.reader.read(`select id from tasks where finished_at is null`, []);
  t.strictSame(left, [], 'no task is left');
  t.ok(runs.length >= enqueued.length);
});

t.test('a full disk stops tasks where they are, and they go on when there is space again', async (t) => {
  const { kind } = adding();
  const { app, request } = await startTasks(t, 'sqlite', [kind], { logLevel: 'fatal' });
  const ids: number[] = [];
  for (let n = 0; n < 20; n++) {
    const task = await app.write((tx) =>
      app.tasks.enqueue(tx, kind, { n }, { runAt: new Date(Date.now() + 200) }),
    );
    ids.push(task.id);
  }
  const em = app.orm.em.fork();
  const [{ page_count: pages } = { page_count: 0 }] =
    await em.execute<{ page_count: number }[]>('pragma page_count');
  await em.execute(`pragma max_page_count = ${pages}`);
  const refused = async (n: number) => {
    const json = { name: 'Ada', email: `a${n}@example.com`, attributes: { x: 'x'.repeat(16_000) } };
    return (await request('POST', '/users', { json })).status === 503;
  };
  let full = 0;
  for (let n = 0; full < 20 && n < 500; n++) {
    if (await refused(n)) full++;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  t.ok(full > 0, 'the disk is full');
  await em.execute('pragma max_page_count = 1000000');
  for (const id of ids) t.match(await settled(app, id), { state: 'succeeded' });
  const twice = await app.reader.read(
    `select name from users where name <> 'Ada' group by name having count(*) > 1`,
    [],
  );
  t.strictSame(twice, []);
});

onEachDatabase('a thousand tasks run at once', async (t, dialect) => {
  let begun = 0;
  const all = Promise.withResolvers<void>();
  const meeting = defineTask({
    kind: 'meeting',
    description: 'Ends when a thousand have begun.',
    input: Type.Object({}),
    timeoutMs: 120_000,
    maxAttempts: 1,
    async run() {
      if (++begun === 1000) all.resolve();
      await all.promise;
    },
  });
  const { app } = await startTasks(t, dialect, [meeting], { taskConcurrency: 1000, logLevel: 'fatal' });
  const tasks = await Promise.all(
    Array.from({ length: 1000 }, () => app.write((tx) => app.tasks.enqueue(tx, meeting, {}))),
  );
  for (const { id } of tasks) t.match(await settled(app, id), { state: 'succeeded' });
});
