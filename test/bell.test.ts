import t from 'tap';
import { startApp } from './support/app.ts';
import { emptyDatabase, postgresServer } from './support/databases.ts';

t.test('what is rung while PostgreSQL is slow goes with the next ring, one query at a time', async (t) => {
  const databaseUrl = await emptyDatabase(t, 'postgresql');
  const { app: here } = await startApp(t, 'postgresql', { databaseUrl });
  const { app: there } = await startApp(t, 'postgresql', { databaseUrl });
  const heard = new Set<string>();
  const rung = (topic: string) =>
    new Promise<void>((resolve) => {
      there.bell.on(topic, () => {
        heard.add(topic);
        resolve();
      });
    });
  // Until both listen.
  const first = rung('first');
  const again = setInterval(() => here.bell.ring('first'), 20);
  await first;
  clearInterval(again);

  const warnings: string[] = [];
  const onWarning = (warning: Error) => warnings.push(warning.message);
  process.on('warning', onWarning);
  t.teardown(() => process.off('warning', onWarning));
  const server = await postgresServer();
  const backends = await server.query<{ pid: number }>(
    `select pid from pg_stat_activity where query ilike 'listen%' or query ilike 'select pg_notify%'`,
  );
  t.ok(backends.length >= 2);
  for (const { pid } of backends) process.kill(pid, 'SIGSTOP');
  const topics = ['second', 'third', 'fourth'];
  const last = Promise.all(topics.map(rung));
  for (const topic of topics) {
    here.bell.ring(topic);
    await new Promise((resolve) => setTimeout(resolve, 50)); // by then it would be sent, if it could
  }
  t.notOk(heard.has('second'));
  for (const { pid } of backends) process.kill(pid, 'SIGCONT');
  await last;
  t.strictSame(warnings, []);
});
