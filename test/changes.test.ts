import { startApp } from './support/app.ts';
import { onEachDatabase } from './support/databases.ts';
import { type Change, fold, wholeLog } from './support/log.ts';

onEachDatabase(
  'each way of writing a user leaves exactly one change, and what changes nothing none',
  async (t, dialect) => {
    const app = await startApp(t, dialect);
    const { request } = app;
    let seen = 0;
    const news = async () => {
      const all = await wholeLog(app);
      const fresh = all.slice(seen);
      seen = all.length;
      return fresh;
    };
    const shape = (changes: Change[]) =>
      changes.map(({ type, userId, version, changedFields }) => [type, userId, version, ...changedFields]);

    const created = await request('POST', '/users', {
      json: { name: 'Ada', email: 'ada@example.com', attributes: { desk: 1 } },
      headers: { 'idempotency-key': 'one' },
    });
    const [first] = await news();
    t.match(first, { type: 'user.created', userId: 1, version: 1, actor: null });
    t.strictSame(first?.user, created.json(), 'the user as the answer showed it');
    t.strictSame(first?.changedFields, ['name', 'email', 'attributes']);
    t.equal(first?.at, created.json().createdAt);

    await request('POST', '/add-user', { json: { name: 'Bob', email: 'bob@example.com' } });
    t.strictSame(shape(await news()), [['user.created', 2, 1, 'name', 'email', 'attributes']]);

    const patched = await request('PATCH', '/users/1', {
      json: { name: 'Ada King', attributes: { desk: 2 } },
    });
    const [second] = await news();
    t.strictSame(shape(second ? [second] : []), [['user.updated', 1, 2, 'name', 'attributes']]);
    t.strictSame(second?.user, patched.json());

    await request('PATCH', '/users/1', { json: { name: 'Ada King' } });
    await request('PATCH', '/users/1', { json: {} });
    await request('PATCH', '/users/1', { json: { name: 'X' }, headers: { 'if-match': '"9"' } });
    await request('PATCH', '/users/1', { json: { email: 'bob@example.com' } });
    await request('PATCH', '/users/99', { json: { name: 'X' } });
    await request('DELETE', '/users/99');
    await request('POST', '/users', { json: { name: 'Ada', email: 'ADA@example.com' } });
    await request('POST', '/users', {
      json: { name: 'Ada', email: 'ada@example.com', attributes: { desk: 1 } },
      headers: { 'idempotency-key': 'one' },
    });
    t.strictSame(await news(), [], 'nothing changed, nothing is told');

    await request('DELETE', '/users/1');
    const [last] = await news();
    t.match(last, { type: 'user.deleted', userId: 1, version: 3, user: null });
    t.strictSame(fold(await wholeLog(app)), (await request('GET', '/users')).json());
  },
);

onEachDatabase(
  'changes that are made together stand in order, each user’s versions without a gap',
  async (t, dialect) => {
    const app = await startApp(t, dialect);
    const { request } = app;
    await Promise.all(
      Array.from({ length: 60 }, (_, n) =>
        request('POST', '/users', { json: { name: 'n', email: `u${n}@example.com` } }),
      ),
    );
    await Promise.all(
      Array.from({ length: 300 }, (_, n) =>
        n % 50 === 49
          ? request('DELETE', `/users/${1 + (n % 60)}`)
          : request('PATCH', `/users/${1 + (n % 60)}`, { json: { name: `n${n}` } }),
      ),
    );
    const log = await wholeLog(app, 7);
    t.strictSame(
      log.map(({ position }) => position),
      log.map(({ position }) => position).sort((a, b) => a - b),
    );
    const versions = new Map<number, number>();
    for (const { userId, version } of log) {
      if (version !== (versions.get(userId) ?? 0) + 1)
        t.fail(`user ${userId} has no version before ${version}`);
      versions.set(userId, version);
    }
    t.ok(log.length > 300);
    t.strictSame(fold(log), (await request('GET', '/users?limit=1000')).json());
  },
);

onEachDatabase('nothing of a transaction that was undone is in the log', async (t, dialect) => {
  const app = await startApp(t, dialect);
  const { createUser } = await import('../src/users/users.ts');
  const undone = app.app.write(async (tx) => {
    await createUser(tx, { name: 'Never', email: 'never@example.com' });
    throw new Error('on purpose');
  });
  const kept = app.request('POST', '/users', { json: { name: 'Kept', email: 'kept@example.com' } });
  await t.rejects(undone, /on purpose/);
  await kept;
  t.strictSame(
    (await wholeLog(app)).map(({ user }) => user?.name),
    ['Kept'],
  );
});

onEachDatabase('a page says where to go on, also when nothing fits', async (t, dialect) => {
  const { request } = await startApp(t, dialect);
  const nothing = await request('GET', '/changes');
  t.strictSame(
    [nothing.json(), nothing.headers['muster-position'], nothing.headers.link],
    [[], '0', undefined],
  );
  for (const n of [1, 2, 3])
    await request('POST', '/users', { json: { name: 'n', email: `u${n}@example.com` } });
  await request('DELETE', '/users/2');
  const positions = (await request('GET', '/changes')).json<Change[]>().map(({ position }) => position);
  const head = String(positions.at(-1));

  const first = await request('GET', '/changes?limit=2');
  t.equal(first.json<Change[]>().length, 2);
  t.equal(first.headers.link, `</changes?limit=2&after=${positions[1]}>; rel="next"`);
  t.equal(first.headers['muster-position'], String(positions[1]));

  const deleted = await request('GET', '/changes?types=user.deleted');
  t.strictSame(
    deleted.json<Change[]>().map(({ userId }) => userId),
    [2],
  );
  const erased = await request('GET', '/changes?types=user.erased,user.updated');
  t.strictSame([erased.json(), erased.headers['muster-position']], [[], head]);

  const beyond = await request('GET', `/changes?after=${Number(head) + 1}`);
  t.equal(beyond.status, 410);
  t.match(beyond.json().type, /position-gone$/);
  for (const bad of ['after=-1', 'after=x', 'types=user.born', 'limit=0', 'limit=1001', 'types=']) {
    t.equal((await request('GET', `/changes?${bad}`)).status, 400, bad);
  }
});

onEachDatabase('a list of users says at which position it was read', async (t, dialect) => {
  const app = await startApp(t, dialect);
  t.equal((await app.request('GET', '/users')).headers['muster-position'], '0');
  await app.request('POST', '/users', { json: { name: 'n', email: 'a@example.com' } });
  const list = await app.request('GET', '/users');
  const [only] = await wholeLog(app);
  t.equal(list.headers['muster-position'], String(only?.position));
});

onEachDatabase(
  'the history of a user is there to be read, page by page and after the end',
  async (t, dialect) => {
    const { request } = await startApp(t, dialect);
    await request('POST', '/users', { json: { name: 'One', email: 'a@example.com' } });
    await request('POST', '/users', { json: { name: 'Other', email: 'b@example.com' } });
    await request('PATCH', '/users/1', { json: { name: 'Two' } });
    await request('DELETE', '/users/1');
    const history = await request('GET', '/users/1/history?limit=2');
    t.strictSame(
      history.json<Change[]>().map(({ type, version }) => [type, version]),
      [
        ['user.deleted', 3],
        ['user.updated', 2],
      ],
    );
    const next = /<(.+)>/.exec(String(history.headers.link))?.[1] ?? '';
    const rest = await request('GET', next);
    t.strictSame(
      rest.json<Change[]>().map(({ user }) => user?.name),
      ['One'],
    );
    t.equal(rest.headers.link, undefined);
    t.equal((await request('GET', next.replace('/1/', '/2/'))).status, 400, 'a cursor of another user');
    t.equal((await request('GET', '/users/3/history')).status, 404);
    t.equal((await request('GET', '/users/99999999999/history')).status, 404);
  },
);

onEachDatabase('a user can be seen as they were at a position or a time', async (t, dialect) => {
  const app = await startApp(t, dialect);
  const { request } = app;
  const one = (await request('POST', '/users', { json: { name: 'One', email: 'a@example.com' } })).json();
  // A time of its own for each change.
  while (new Date().toISOString() <= String(one.updatedAt)) await new Promise(setImmediate);
  const two = (await request('PATCH', '/users/1', { json: { name: 'Two' } })).json();
  while (new Date().toISOString() <= String(two.updatedAt)) await new Promise(setImmediate);
  await request('DELETE', '/users/1');
  const [p1, p2, p3] = (await wholeLog(app)).map(({ position }) => position);

  const at = async (moment: unknown) => {
    const answer = await request('GET', `/users/1?at=${encodeURIComponent(String(moment))}`);
    return answer.status === 200 ? answer.json().name : answer.status;
  };
  t.strictSame([await at(0), await at(p1), await at(p2), await at(p3)], [404, 'One', 'Two', 404]);
  t.strictSame([await at(one.createdAt), await at(two.updatedAt)], ['One', 'Two']);
  t.equal(await at('2001-01-01T00:00:00Z'), 404, 'before all');
  t.equal(await at('2999-01-01T00:00:00+01:00'), 404, 'deleted for ever');
  t.equal(await at(Number(p3) + 1), 410, 'no position of this log');
  for (const bad of ['yesterday', '2001-01-01', '-1', '2001-13-01T00:00:00Z', '0000-01-01T00:00:00Z']) {
    t.equal(await at(bad), 400, bad);
  }
  t.equal((await request('GET', '/users/1?at=')).status, 400);

  const then = await request('GET', `/users/1?at=${p1}`);
  t.strictSame(then.json(), one);
  t.equal(then.headers.etag, '"1"');
  const same = await request('GET', `/users/1?at=${p1}`, { headers: { 'if-none-match': '"1"' } });
  t.equal(same.status, 304);
  t.equal((await request('GET', '/users/99999999999?at=1')).status, 404);
});
