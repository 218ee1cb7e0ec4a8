import t from 'tap';
import { pointers, startApp } from './support/app.ts';
import { emptyDatabase, onEachDatabase } from './support/databases.ts';

const geek = { name: 'Geek', email: 'geek@example.com' };

onEachDatabase('the four routes answer to the letter', async (t, dialect) => {
  const { request } = await startApp(t, dialect);
  const added = await request('POST', '/add-user', { json: geek });
  t.equal(added.status, 200);
  t.strictSame(added.json(), { message: 'User created', user: { id: 1, ...geek } });

  const found = await request('GET', '/user/1');
  t.equal(found.status, 200);
  t.strictSame(found.json(), { id: 1, ...geek });

  const missing = await request('GET', '/user/2');
  t.equal(missing.status, 404);
  t.match(missing.headers['content-type'], /^application\/problem\+json/);
  t.match(missing.json(), { error: 'User not found', status: 404 });

  const list = await request('GET', '/users');
  t.match(list.json<unknown[]>(), [{ id: 1, ...geek }]);

  t.equal((await request('HEAD', '/start-task')).status, 200);
  t.strictSame((await request('GET', '/tasks')).json(), [], 'a HEAD starts nothing');
  const started = await request('GET', '/start-task');
  t.equal(started.status, 200);
  t.match(started.json(), { message: 'Task started' });
  t.equal((await request('GET', '/tasks')).json<unknown[]>().length, 1);
});

onEachDatabase('the tutorial’s users are users like any other', async (t, dialect) => {
  const { request } = await startApp(t, dialect);
  await request('POST', '/add-user', { json: geek });
  t.match((await request('GET', '/users/1')).json(), { ...geek, attributes: {}, version: 1 });
  t.equal((await request('POST', '/add-user', { json: { ...geek, email: 'GEEK@example.com' } })).status, 409);
  t.equal((await request('POST', '/add-user', { json: { ...geek, attributes: {} } })).status, 422);
});

t.test('the tutorial’s own broken request is told where it breaks, and mended what it lacks', async (t) => {
  const { request } = await startApp(t, 'sqlite');
  const broken = await request('POST', '/add-user', {
    body: '{"username": "Geek, "email": "geek@example.com"}',
  });
  t.equal(broken.status, 400);
  t.match(broken.json(), { detail: /line 1, column 22/ });
  const mended = await request('POST', '/add-user', {
    json: { username: 'Geek', email: 'geek@example.com' },
  });
  t.equal(mended.status, 422);
  t.strictSame(pointers(mended), ['#/name', '#/username']);
});

t.test(
  'the background task ends five seconds later, and the service goes on answering meanwhile',
  async (t) => {
    const { request, logged, log } = await startApp(t, 'sqlite');
    const started = Date.now();
    const completed = logged('Background task completed');
    await request('GET', '/start-task');
    let answers = 0;
    let done = false;
    const ended = completed.then(() => {
      done = true;
    });
    while (!done) {
      t.equal((await request('GET', '/users')).status, 200);
      answers++;
      await Promise.race([ended, new Promise((resolve) => setTimeout(resolve, 250))]);
    }
    t.ok(Date.now() - started >= 4990, 'not earlier');
    t.ok(answers > 5, `${answers} answers meanwhile`);
    t.match(
      log.find((line) => line.msg === 'Background task completed'),
      { kind: 'sleep' },
    );
  },
);

t.test('a shutdown does not wait for it: it is handed back, and the next start completes it', async (t) => {
  const databaseUrl = await emptyDatabase(t, 'sqlite');
  const first = await startApp(t, 'sqlite', { databaseUrl });
  await first.request('GET', '/start-task');
  await first.running(1);
  await first.app.close();
  t.notOk(first.log.some((line) => line.msg === 'Background task completed'));
  t.match(first.log.find((line) => line.level === 40)?.msg, /sleep was cut short by the shutdown/);
  const second = await startApp(t, 'sqlite', { databaseUrl });
  t.match(await second.logged('Background task completed'), { attempt: 1 }, 'that was no attempt');
});
