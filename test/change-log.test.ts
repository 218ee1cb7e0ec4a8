import t from 'tap';
import { pruneChanges, readExtent } from '../src/changes/log.ts';
import { openDatabase } from '../src/db/database.ts';
import { migrateDown, migrateUp } from '../src/db/migrations.ts';
import { entities } from '../src/entities.ts';
import { startApp, type TestApp } from './support/app.ts';
import { emptyDatabase, onEachDatabase } from './support/databases.ts';
import { type Change, fold, wholeLog } from './support/log.ts';

onEachDatabase('who was there before the log is its beginning', async (t, dialect) => {
  const databaseUrl = await emptyDatabase(t, dialect);
  const before = await startApp(t, dialect, { databaseUrl });
  const person = {
    name: 'Ada "Countess" Łukasz',
    email: 'ada@example.com',
    attributes: { a: [1, 'ü', null] },
  };
  await before.request('POST', '/users', { json: person });
  await before.request('POST', '/users', { json: { name: 'Bob', email: 'bob@example.com' } });
  await before.request('PATCH', '/users/1', { json: { attributes: { b: 1.5 } } });
  await before.app.close();

  const { orm, close } = await openDatabase({ databaseUrl, entities });
  for (let undone: string | undefined; undone !== '0003_changes'; ) undone = await migrateDown(orm, dialect);
  await migrateUp(orm, dialect);
  await close();

  const after = await startApp(t, dialect, { databaseUrl });
  const users = (await after.request('GET', '/users')).json();
  const log = await wholeLog(after);
  t.strictSame(fold(log), users);
  t.strictSame(
    log.map(({ type, version, changedFields }) => [type, version, ...changedFields]),
    [2, 1].map((version) => ['user.created', version, 'name', 'email', 'attributes']),
  );
  await after.request('PATCH', '/users/1', { json: { name: 'Ada' } });
  t.match((await wholeLog(after)).at(-1), { type: 'user.updated', version: 3 });
});

/** Sets when a change was made. */
function dated(app: TestApp, position: number, day: string): Promise<unknown> {
  return app.app.write((tx) =>
    tx.execute('update changes set at = ? where position = ?', [new Date(`${day}T00:00:00Z`), position]),
  );
}

onEachDatabase(
  'what is not kept any more is said to be gone, and nothing is left out in silence',
  async (t, dialect) => {
    const app = await startApp(t, dialect);
    const { request } = app;
    for (const n of [1, 2, 3])
      await request('POST', '/users', { json: { name: `n${n}`, email: `u${n}@example.com` } });
    await request('PATCH', '/users/1', { json: { name: 'later' } });
    await request('DELETE', '/users/3');
    const positions = (await wholeLog(app)).map(({ position }) => position);
    const [p1 = 0, p2 = 0, p3 = 0, p4 = 0] = positions;
    // The third was made by a replica whose clock was ahead: what is behind it in the log stays with it.
    const days = ['2026-01-01', '2026-01-02', '2026-03-01', '2026-01-04', '2026-04-01'];
    for (const [at, day] of days.entries()) await dated(app, positions[at] ?? 0, day);
    const prune = (most: number) =>
      app.app.write((tx) => pruneChanges(tx.em, new Date('2026-02-01T00:00:00Z'), most));
    t.equal(await prune(1), 1);
    t.equal(await prune(100), 1);
    t.equal(await prune(100), 0);

    const page = await request('GET', `/changes?after=${p2}`);
    t.strictSame(
      page.json<Change[]>().map(({ position }) => position),
      positions.slice(2),
    );
    for (const url of ['/changes', `/changes?after=${p1}`, `/users/1?at=${p1}`]) {
      const answer = await request('GET', url);
      t.equal(answer.status, 410, url);
      t.match(answer.json().detail, new RegExp(`after positions ${p2} to`));
    }
    const stream = await request('GET', '/changes', {
      headers: { accept: 'text/event-stream', 'last-event-id': '0' },
    });
    t.equal(stream.status, 410);

    t.equal((await request('GET', `/users/2?at=${p2}`)).json().name, 'n2', 'it has not changed since');
    t.equal((await request('GET', `/users/2?at=${p4}`)).json().name, 'n2');
    t.equal(
      (await request('GET', `/users/1?at=${p3}`)).status,
      410,
      'what it was before its next change, nobody knows',
    );
    t.equal((await request('GET', `/users/1?at=${p4}`)).json().name, 'later');
    t.equal((await request('GET', `/users/3?at=${p2}`)).status, 404, 'it was created later');
    t.equal((await request('GET', '/users/2?at=2026-01-10T00:00:00Z')).status, 410);
    t.equal((await request('GET', '/users/2?at=2999-01-10T00:00:00Z')).status, 200);
    t.equal(
      (await request('GET', '/users/2/history')).json<unknown[]>().length,
      0,
      'it is there, its changes are not',
    );

    await app.app.write((tx) => pruneChanges(tx.em, new Date('2027-01-01T00:00:00Z'), 100));
    const empty = await request('GET', `/changes?after=${positions.at(-1)}`);
    t.strictSame([empty.status, empty.json()], [200, []], 'the last position is still one');
    t.equal((await request('GET', '/users')).headers['muster-position'], String(positions.at(-1)));
  },
);

onEachDatabase('a retention of days prunes the log, and 0 keeps it', async (t, dialect) => {
  for (const [changeRetentionDays, left] of [
    [0, 1],
    [10, 0],
  ] as const) {
    const app = await startApp(t, dialect, { changeRetentionDays });
    await app.request('POST', '/users', { json: { name: 'n', email: 'n@example.com' } });
    const [only] = await wholeLog(app);
    await dated(app, only?.position ?? 0, '2020-01-01');
    const task = (await app.request('POST', '/tasks', { json: { kind: 'prune' } })).json<{ id: number }>();
    await app.request('GET', `/tasks/${task.id}`, { headers: { prefer: 'wait=20' } });
    const rows = await app.app.reader.read('select position from changes', []);
    t.equal(rows.length, left);
  }
});

t.test('of two prunes at once, the slower one takes nothing back', async (t) => {
  const app = await startApp(t, 'postgresql');
  const { orm, reader, write } = app.app;
  for (const n of [1, 2, 3])
    await app.request('POST', '/users', { json: { name: `n${n}`, email: `u${n}@example.com` } });
  const time = new Date(Date.now() + 60_000);
  const quick = orm.em.fork();
  await quick.begin();
  t.equal(await pruneChanges(quick, time, 100), 3);
  const slow = write((tx) => pruneChanges(tx.em, time, 1)); // it has seen the log as it was
  const waits = `select 1 from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()`;
  while ((await reader.read(waits, [])).length === 0);
  await quick.commit();
  t.equal(await slow, 0);
  const { keptAfter, head } = await readExtent(reader);
  t.strictSame([keptAfter, head], [3, 3]);
});
