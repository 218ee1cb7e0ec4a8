import parse from 'parse-prometheus-text-format';
import t from 'tap';
import { RequestCounts } from '../src/operations/request-counts.ts';
import { createUser } from '../src/users/users.ts';
import { startApp, type TestApp } from './support/app.ts';
import { emptyDatabase, onEachDatabase } from './support/databases.ts';
import { Follower } from './support/follow.ts';
import { startExplaining } from './support/plans.ts';

type Labels = Record<string, string>;
type Value = (name: string, labels?: Labels) => number | undefined;

/** Asks until `condition` holds of what an independent reader of the format understands. */
async function scrape(
  { request }: Pick<TestApp, 'request'>,
  condition: (value: Value) => boolean = () => true,
): Promise<{ value: Value; families: ReturnType<typeof parse>; text: string }> {
  const end = performance.now() + 20_000;
  for (;;) {
    const { text } = await request('GET', '/metrics');
    const families = parse(text);
    const value: Value = (name, labels = {}) => {
      const family = families.find((one) => one.name === name);
      const found = family?.metrics.find((metric) =>
        Object.entries(labels).every(([label, wanted]) => metric.labels?.[label] === wanted),
      );
      return found === undefined ? undefined : Number(found.value);
    };
    if (condition(value)) return { value, families, text };
    if (performance.now() > end) throw new Error(`it did not come to be: ${text}`);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

onEachDatabase('everything it measures is read by a parser of the format', async (t, dialect) => {
  const databaseUrl = await emptyDatabase(t, dialect);
  const service = await startApp(t, dialect, { databaseUrl });
  const { text, families } = await scrape(service, (value) => value('muster_metrics_unread') === 0);
  const samples = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  for (const line of samples)
    t.match(line, /^[a-z_\d]+(\{(\w+="[^"\n]*",?)+\})? (-?[\d.e+-]+|\+Inf|nan)$/i, line);
  const names = families.map(({ name }) => name);
  t.strictSame(names, [...new Set(names)], 'each is there once');
  for (const { name, help, type } of families) {
    t.match(name, /^(muster|process|nodejs)_[a-z_\d]+$/);
    t.ok(help.length > 0, name);
    if (name.startsWith('muster')) t.equal(name.endsWith('_total'), type === 'COUNTER', `${name} ${type}`);
  }
  const expected = [
    'muster_http_requests_total',
    'muster_http_request_duration_seconds',
    'muster_requests_shed_total',
    'muster_event_loop_delay_seconds',
    'muster_write_queue_length',
    'muster_write_queue_oldest_seconds',
    'muster_tasks',
    'muster_tasks_by_kind',
    'muster_tasks_oldest_queued_seconds',
    'muster_task_attempts_total',
    'muster_feed_streams',
    'muster_feed_lag_seconds',
    'muster_streams_open',
    'muster_webhooks',
    'muster_webhook_backlog_seconds',
    'muster_metrics_unread',
    'muster_long_reads_waiting',
    'process_cpu_seconds_total',
    'process_resident_memory_bytes',
    ...(dialect === 'sqlite'
      ? ['muster_database_bytes', 'muster_disk_free_bytes']
      : ['muster_database_connections', 'muster_database_connections_waiting']),
  ];
  t.strictSame(
    expected.filter((name) => !names.includes(name)),
    [],
    'nothing is missing',
  );
});

t.test('requests are counted by the pattern of their route, and by no value in it', async (t) => {
  const service = await startApp(t, 'sqlite');
  const { request } = service;
  await request('POST', '/users', { json: { name: 'Ada', email: 'ada@example.com' } });
  for (const id of [1, 1, 2]) await request('GET', `/users/${id}`);
  await request('GET', '/nowhere/ada@example.com');
  const users = { route: '/users/:id', method: 'GET' };
  const { value, text } = await scrape(service, (value) => value('muster_http_requests_total', users) === 2);
  t.equal(value('muster_http_requests_total', { ...users, status: '404' }), 1);
  t.equal(value('muster_http_requests_total', { route: '(unknown)' }), 1);
  // The parser puts all values of a histogram into one.
  const durations = 'muster_http_request_duration_seconds';
  t.match(text, `${durations}_count{method="GET",route="/users/:id"} 3\n`);
  t.match(text, `${durations}_bucket{method="GET",route="/users/:id",le="+Inf"} 3\n`);
  t.notMatch(text, /ada@example|nowhere/);
});

onEachDatabase('tasks are counted by state, and the oldest that waits is told', async (t, dialect) => {
  const service = await startApp(t, dialect, { taskConcurrency: 1 });
  const { app, request, running } = service;
  const enqueue = (json: object) => request('POST', '/tasks', { json });
  await enqueue({ kind: 'sleep', input: { ms: 60_000 } });
  await running(1);
  for (let n = 0; n < 3; n++) await enqueue({ kind: 'sleep', input: { ms: 1 } });
  await enqueue({ kind: 'sleep', input: { ms: 1 }, runAt: '2999-01-01T00:00:00Z' });
  const tenSeconds = dialect === 'sqlite' ? 'run_at - 10000' : `run_at - interval '10 seconds'`;
  const since = `coalesce(run_at, created_at)`;
  await app.orm.em
    .fork()
    .execute(
      `update tasks set run_at = ${tenSeconds.replace('run_at', since)} where id = 3 and state = 'queued'`,
    );
  const { value } = await scrape(service, (value) => value('muster_tasks', { state: 'scheduled' }) === 1);
  t.equal(value('muster_tasks', { state: 'queued' }), 3);
  t.equal(value('muster_tasks', { state: 'running' }), 1);
  t.equal(value('muster_tasks', { state: 'failed' }), 0);
  t.equal(value('muster_tasks_by_kind', { state: 'queued', kind: 'sleep' }), 3);
  t.equal(value('muster_tasks_by_kind', { state: 'queued', kind: 'gather' }), 0);
  t.equal(value('muster_tasks_by_kind', { state: 'running', kind: 'sleep' }), 1);
  const age = value('muster_tasks_oldest_queued_seconds') ?? 0;
  t.ok(age >= 10 && age < 40, `${age} s`);
  await request('POST', '/tasks/1/cancel');
  const done = { kind: 'sleep', state: 'succeeded' };
  const after = await scrape(service, (value) => value('muster_task_attempts_total', done) === 3);
  t.equal(after.value('muster_tasks', { state: 'queued' }), 0);
  t.equal(after.value('muster_tasks_oldest_queued_seconds'), 0);
});

t.test('streams are counted while they are open, and have no duration', async (t) => {
  const service = await startApp(t, 'sqlite');
  const base = await service.app.listen({ port: 0 });
  const one = new Follower(base, '/changes?after=0');
  await one.answered;
  const open = await scrape(service, (value) => value('muster_streams_open') === 1);
  t.equal(open.value('muster_feed_streams'), 1);
  await service.app.write((tx) => createUser(tx, { name: 'n', email: 'n@example.com' }));
  await one.until(({ changes }) => changes.length === 1);
  await scrape(service, (value) => value('muster_feed_lag_seconds') === 0);
  one.cut();
  const { value, text } = await scrape(
    service,
    (value) => value('muster_http_requests_total', { route: '/changes', status: '200' }) === 1,
  );
  t.equal(value('muster_streams_open'), 0);
  t.match(text, 'muster_http_request_duration_seconds_count{method="GET",route="/changes"} 0\n');
});

t.test('what cannot be read in time is left out, and counted', async (t) => {
  const service = await startApp(t, 'sqlite');
  service.app.metrics.gauge('muster_deaf', 'Never answers.', () => new Promise(() => {}));
  service.app.metrics.gauge('muster_broken', 'Throws.', () => {
    throw new Error('broken');
  });
  service.app.metrics.gauge('muster_odd', 'Has a\nbackslash \\.', () => [
    { labels: { of: 'a "b" \\ c' }, value: 1 },
  ]);
  const { value, families } = await scrape(service, (value) => value('muster_metrics_unread') === 2);
  t.notOk(families.some(({ name }) => name === 'muster_deaf' || name === 'muster_broken'));
  t.equal(value('muster_odd', { of: 'a "b" \\ c' }), 1, 'labels are escaped');
});

onEachDatabase('tasks are counted along indexes', async (t, dialect) => {
  const service = await startApp(t, dialect);
  const { app, request } = service;
  await request('POST', '/tasks', {
    json: { kind: 'sleep', input: { ms: 1 }, runAt: '2999-01-01T00:00:00Z' },
  });
  const explain = await startExplaining(t, app, dialect);
  const reads = t.capture(app.probe, 'read', app.probe.read);
  await request('GET', '/metrics');
  const asked = reads().filter(({ args }) => args[0].includes('from tasks'));
  t.equal(asked.length, 4);
  for (const { args } of asked) {
    const plan = await explain(args[0], args[1] ?? []);
    t.match(plan, /tasks_(queued|running|state_id)/);
    t.notMatch(plan, /Seq Scan on tasks|SCAN tasks(?! USING)/, plan);
  }
});

t.test('what was asked lately is forgotten within half a second', async (t) => {
  const counts = new RequestCounts();
  for (let n = 0; n < 60; n++) counts.count('GET', '/users/:id', 200, 1);
  const now = performance.now();
  t.ok(counts.lately(now) > 236 && counts.lately(now) <= 240, `${counts.lately(now)} a second`);
  const half = counts.lately(now + 375);
  t.ok(half > 100 && half <= 240, `${half} a second, a window and a half later`);
  t.equal(counts.lately(now + 1000), 0);
});
