import t from 'tap';
import { Type } from 'typebox';
import { defineTask } from '../src/tasks/kinds.ts';
import { pointers } from './support/app.ts';
import { onEachDatabase } from './support/databases.ts';
import { Follower } from './support/follow.ts';
import { settled, startTasks } from './support/tasks.ts';

/** Runs until it is told to end. */
const endless = () =>
  defineTask({
    kind: 'endless',
    description: 'Never ends by itself.',
    input: Type.Object({}),
    run: ({ signal }) =>
      new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
  });

const failing = () =>
  defineTask({
    kind: 'failing',
    description: 'Fails at first.',
    input: Type.Object({}),
    maxAttempts: 1,
    async run({ save, checkpoint }) {
      if (checkpoint !== undefined) return { checkpoint };
      await save(async () => 'been here');
      throw new Error('the first time');
    },
  });

onEachDatabase(
  'a task that is posted is accepted, runs, and can be read and waited for',
  async (t, dialect) => {
    const { request } = await startTasks(t, dialect, []);
    const created = await request('POST', '/tasks', { json: { kind: 'sleep', input: { ms: 20 } } });
    t.equal(created.status, 202);
    t.equal(created.headers.location, '/tasks/1');
    t.match(created.json(), { id: 1, kind: 'sleep', input: { ms: 20 }, state: 'queued', priority: 0 });
    const waited = await request('GET', '/tasks/1', { headers: { prefer: 'respond-async, wait=10' } });
    t.equal(waited.headers['preference-applied'], 'wait=10');
    t.match(waited.json(), { state: 'succeeded', attempt: 1, finishedAt: String });
    const short = await request('POST', '/tasks', { json: { kind: 'sleep', input: { ms: 5000 } } });
    const early = await request('GET', String(short.headers.location), { headers: { prefer: 'wait=0' } });
    t.match(early.json(), { state: /queued|running/ });
  },
);

onEachDatabase('what is wrong with a task is said where it is', async (t, dialect) => {
  const { request } = await startTasks(t, dialect, []);
  const post = async (json: unknown) => {
    const answer = await request('POST', '/tasks', { json });
    return [answer.status, ...pointers(answer)];
  };
  t.strictSame(await post({ kind: 'dance' }), [422, '#/kind']);
  t.strictSame(await post({}), [422, '#/kind']);
  t.strictSame(await post({ kind: 'sleep' }), [422, '#/input']);
  t.strictSame(await post({ kind: 'sleep', input: { ms: '5' } }), [422, '#/input/ms']);
  t.strictSame(await post({ kind: 'sleep', input: { ms: 5, s: 1 } }), [422, '#/input/s']);
  t.strictSame(await post({ kind: 'sleep', input: { ms: 5 }, priority: 2000 }), [422, '#/priority']);
  t.strictSame(await post({ kind: 'sleep', input: { ms: 5 }, runAt: 'soon' }), [422, '#/runAt']);
  t.strictSame(
    await post({ kind: 'gather', input: { tasks: [{ kind: 'sleep', input: { ms: -1 } }, { kind: 'x' }] } }),
    [422, '#/input/tasks/0/input/ms'],
  );
  t.strictSame((await request('GET', '/tasks')).json(), [], 'and nothing was enqueued');
  t.equal((await request('GET', '/tasks/1')).status, 404);
  t.equal((await request('GET', '/tasks/99999999999')).status, 404);
  t.equal((await request('POST', '/tasks/7/cancel')).status, 404);
  t.equal((await request('POST', '/tasks/99999999999/retry')).status, 404);
});

onEachDatabase('a time is one of the years 1 to 9999 in UTC', async (t, dialect) => {
  const { request } = await startTasks(t, dialect, []);
  const post = (runAt: string) =>
    request('POST', '/tasks', { json: { kind: 'sleep', input: { ms: 0 }, runAt } });
  for (const runAt of [
    '0000-06-01T00:00:00Z',
    '0001-01-01T00:00:00+14:00',
    '9999-12-31T23:59:59-23:59',
    '2016-12-31T23:59:60Z',
  ]) {
    const answer = await post(runAt);
    t.strictSame([answer.status, ...pointers(answer)], [422, '#/runAt'], runAt);
  }
  for (const runAt of ['0001-01-01T00:00:00.000Z', '9999-12-31T23:59:59.999Z'])
    t.match((await post(runAt)).json(), { runAt });
  t.equal((await request('GET', '/tasks')).json<unknown[]>().length, 2, 'and the list can be read');
});

onEachDatabase(
  'an Idempotency-Key enqueues once, a dedupe key while the first is not finished',
  async (t, dialect) => {
    const { request } = await startTasks(t, dialect, [endless()]);
    const json = { kind: 'endless' };
    const headers = { 'idempotency-key': 'k' };
    const first = await request('POST', '/tasks', { json, headers });
    const again = await request('POST', '/tasks', { json, headers });
    t.strictSame(again.json(), first.json());
    t.equal(again.headers['idempotent-replayed'], 'true');
    const keyed = await request('POST', '/tasks', { json: { ...json, dedupeKey: 'nightly' } });
    const same = await request('POST', '/tasks', { json: { ...json, dedupeKey: 'nightly' } });
    t.equal(same.status, 202);
    t.equal(same.headers.location, keyed.headers.location);
  },
);

onEachDatabase('tasks are listed newest first, page by page, by state and kind', async (t, dialect) => {
  const { app, request } = await startTasks(t, dialect, [endless()], { taskConcurrency: 2 });
  for (let n = 0; n < 5; n++) await request('POST', '/tasks', { json: { kind: 'sleep', input: { ms: 0 } } });
  for (let id = 1; id <= 5; id++) await settled(app, id);
  for (let n = 0; n < 3; n++) await request('POST', '/tasks', { json: { kind: 'endless' } });
  await settled(app, 7, ({ state }) => state === 'running');
  const list = async (query: string) => {
    const ids: number[] = [];
    for (let url: string | undefined = `/tasks?limit=2&${query}`; url !== undefined; ) {
      const page = await request('GET', url);
      for (const { id } of page.json<{ id: number }[]>()) ids.push(id);
      url = /<(.+)>/.exec(String(page.headers.link ?? ''))?.[1];
    }
    return ids;
  };
  t.strictSame(await list(''), [8, 7, 6, 5, 4, 3, 2, 1]);
  t.strictSame(await list('kind=sleep'), [5, 4, 3, 2, 1]);
  t.strictSame(await list('state=running'), [7, 6]);
  t.strictSame(await list('state=queued&kind=endless'), [8]);
  t.strictSame(await list('state=succeeded&kind=sleep'), [5, 4, 3, 2, 1]);
  t.strictSame(await list('state=failed'), []);
  t.equal((await request('GET', '/tasks?state=lost')).status, 400);
});

onEachDatabase('what waits is cancelled at once, and what runs as soon as it knows', async (t, dialect) => {
  const { app, request } = await startTasks(t, dialect, [endless()], { taskConcurrency: 1 });
  for (let n = 0; n < 2; n++) await request('POST', '/tasks', { json: { kind: 'endless' } });
  await settled(app, 1, ({ state }) => state === 'running');
  const waiting = await request('POST', '/tasks/2/cancel');
  t.equal(waiting.status, 202);
  t.match(waiting.json(), { state: 'cancelled', attempt: 0 });
  const running = await request('POST', '/tasks/1/cancel');
  t.match(running.json(), { state: 'running', cancelRequestedAt: String });
  t.match(await settled(app, 1), { state: 'cancelled' });
  const again = await request('POST', '/tasks/1/cancel');
  t.equal(again.status, 409);
  t.match(again.json(), { type: 'urn:problem-type:muster:task-finished' });
});

onEachDatabase('a task that failed can be run again, from its checkpoint', async (t, dialect) => {
  const { app, request } = await startTasks(t, dialect, [failing(), endless()]);
  await request('POST', '/tasks', { json: { kind: 'failing' } });
  t.match(await settled(app, 1), { state: 'failed', error: { message: 'the first time' } });
  const retried = await request('POST', '/tasks/1/retry');
  t.equal(retried.status, 202);
  t.match(await settled(app, 1), { state: 'succeeded', attempt: 1, result: { checkpoint: 'been here' } });
  t.match((await request('POST', '/tasks/1/retry')).json(), { type: /task-succeeded/, status: 409 });
  await request('POST', '/tasks', { json: { kind: 'endless', dedupeKey: 'one' } });
  t.match((await request('POST', '/tasks/2/retry')).json(), { type: /task-not-finished/, status: 409 });
  await request('POST', '/tasks/2/cancel');
  await settled(app, 2);
  await request('POST', '/tasks', { json: { kind: 'endless', dedupeKey: 'one' } });
  t.match((await request('POST', '/tasks/2/retry')).json(), { type: /task-duplicate/, status: 409 });
});

onEachDatabase('a task is followed from its state now to its end', async (t, dialect) => {
  const [begin, end] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const counting = defineTask({
    kind: 'counting',
    description: 'Counts.',
    input: Type.Object({}),
    async run({ progress }) {
      await begin.promise;
      progress(1, 2);
      await end.promise;
      progress(2, 2);
      return 'counted';
    },
  });
  const { request, app } = await startTasks(t, dialect, [counting]);
  await request('POST', '/tasks', { json: { kind: 'counting' } });
  const stream = new Follower(await app.listen({ host: '127.0.0.1', port: 0 }), '/tasks/1');
  const { events } = stream;
  await stream.until(() => events.at(-1)?.data.state === 'running');
  begin.resolve();
  await stream.until(() => events.at(-1)?.event === 'progress');
  t.match(events.at(-1), { event: 'progress', data: { done: 1, total: 2 } });
  end.resolve();
  await stream.ended;
  t.match((await stream.answered).headers['content-type'], /^text\/event-stream/);
  t.equal(events[0]?.event, 'state');
  t.match(events.at(-1), { event: 'state', data: { state: 'succeeded', result: 'counted' } });
  const over = await request('GET', '/tasks/1', { headers: { accept: 'text/event-stream' } });
  t.equal(over.text.match(/event: state/g)?.length, 1, 'of what has ended there is one event');
});

t.test('a task and the log are told as JSON or as events, whatever Accept prefers', async (t) => {
  const { request, app } = await startTasks(t, 'sqlite', [], { corsOrigins: ['https://desk.example'] });
  await request('POST', '/tasks', { json: { kind: 'sleep', input: { ms: 0 } } });
  await settled(app, 1);
  const json = 'application/json';
  const events = 'text/event-stream';
  for (const [accept, type] of [
    [events, events],
    [`${json}, ${events};q=0.1`, json],
    [`${events};q=0.1, ${json}`, json],
    [`${json};q=0.5, ${events}`, events],
    [`${json}, ${events}`, json],
    [`${events}, ${json}`, events],
    [`*/*, ${events}`, events],
    ['*/*', json],
    ['', json],
    ['text/*', events],
    [`${events};q=0`, json],
    ['application/xml', json],
  ] as const) {
    const answer = await request('GET', '/tasks/1', { headers: { accept } });
    t.equal(String(answer.headers['content-type']).split(';')[0], type, accept);
    t.equal(answer.headers.vary, 'Origin, Accept');
  }
  const changes = await request('GET', '/changes', { headers: { accept: `${events};q=0.1, ${json}` } });
  t.match(changes.headers, { 'content-type': /^application\/json/, vary: 'Origin, Accept' });
});

onEachDatabase(
  'who follows a task or waits for it does not hold up the end of the service',
  async (t, dialect) => {
    const { app, request } = await startTasks(t, dialect, [endless()]);
    await request('POST', '/tasks', { json: { kind: 'endless' } });
    await settled(app, 1, ({ state }) => state === 'running');
    const following = request('GET', '/tasks/1', { headers: { accept: 'text/event-stream' } });
    const waiting = request('GET', '/tasks/1', { headers: { prefer: 'wait=60' } });
    while ([...app.openAnswers()].length < 2) await new Promise(setImmediate);
    const began = performance.now();
    await app.close();
    t.match((await following).text, /^event: state/);
    t.equal((await waiting).status, 200);
    t.ok(performance.now() - began < 5000);
  },
);

onEachDatabase('a wait that loses the database is answered 503, as documented', async (t, dialect) => {
  const { app, request } = await startTasks(t, dialect, [endless()], { logLevel: 'silent' });
  await request('POST', '/tasks', { json: { kind: 'endless' } });
  app.tasks.watch.glance = () => Promise.reject(Object.assign(new Error('gone'), { code: 'ECONNRESET' }));
  t.equal((await request('GET', '/tasks/1', { headers: { prefer: 'wait=10' } })).status, 503);
});
