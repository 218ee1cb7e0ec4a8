import t from 'tap';
import type { Tx } from '../src/db/tx.ts';
import { Conflict } from '../src/errors.ts';
import { User } from '../src/users/user.entity.ts';
import { createUser, deleteUser, updateUser } from '../src/users/users.ts';
import { startApp, type TestApp } from './support/app.ts';
import { onEachDatabase } from './support/databases.ts';

const person = (at: number) => ({ name: `User ${at}`, email: `user${at}@example.com` });

/** Statements that were sent while `work` ran, by their first word. */
async function statementsOf({ app }: TestApp, work: () => Promise<unknown>): Promise<Record<string, number>> {
  const counts: Record<string, number> = {};
  const logger = app.orm.config.getLogger();
  const original = logger.logQuery;
  logger.setDebugMode(['query']);
  logger.logQuery = ({ query = '' }: { query?: string }) => {
    const word = query.trim().split(/[\s(]/, 1)[0]?.toLowerCase() ?? '';
    counts[word] = (counts[word] ?? 0) + 1;
  };
  try {
    await work();
  } finally {
    logger.logQuery = original;
    logger.setDebugMode(false);
  }
  return counts;
}

onEachDatabase(
  'look-ups of one turn share one query, and a cached answer is never given',
  async (t, dialect) => {
    const muster = await startApp(t, dialect);
    for (let at = 1; at <= 3; at++) await muster.request('POST', '/users', { json: person(at) });
    const reads = t.capture(muster.app.reader, 'read', muster.app.reader.read);
    const found = await Promise.all([3, 1, 2, 3].map((id) => muster.app.getUser(id)));
    t.strictSame(
      found.map((user) => user.id),
      [3, 1, 2, 3],
    );
    t.equal(reads().length, 1);
    await muster.request('PATCH', '/users/1', { json: { name: 'Changed' } });
    t.equal((await muster.app.getUser(1)).name, 'Changed');
  },
);

onEachDatabase(
  'writes that arrive together share one transaction, and a statement for all users, one for all changes, one for the search',
  async (t, dialect) => {
    const muster = await startApp(t, dialect);
    const create = (from: number) => () =>
      Promise.all(
        Array.from({ length: 20 }, (_, at) => muster.app.write((tx) => createUser(tx, person(from + at)))),
      );
    await create(0)(); // whatever the start itself writes is over then
    const statements = await statementsOf(muster, create(100));
    t.strictSame(statements, { begin: 1, insert: dialect === 'sqlite' ? 3 : 2, commit: 1 });
  },
);

onEachDatabase('a bad write fails alone, and the others of its transaction succeed', async (t, dialect) => {
  const { app, request } = await startApp(t, dialect);
  const good = (at: number) => app.write((tx) => createUser(tx, person(at)));
  const results = await Promise.allSettled([
    good(1),
    app.write(async (tx) => {
      await createUser(tx, person(2));
      throw new Error('after its flush');
    }),
    good(3),
    app.write(async () => {
      throw new TypeError('before it');
    }),
    app.write(async (tx) => {
      await tx.em.execute('insert into nowhere values (1)');
    }),
    app.write(async () => {
      throw new Conflict('no', 'A refusal before anything was changed');
    }),
    good(4),
    good(4),
  ]);
  t.strictSame(
    results.map((result) => (result.status === 'fulfilled' ? 'kept' : result.reason.constructor.name)),
    ['kept', 'Error', 'kept', 'TypeError', 'TableNotFoundException', 'Conflict', 'kept', 'Conflict'],
  );
  const names = (await request('GET', '/users?sort=name'))
    .json<{ name: string }[]>()
    .map((user) => user.name);
  t.strictSame(names, ['User 1', 'User 3', 'User 4'], 'nothing of the failed ones is there');
});

onEachDatabase('writes to one user in one transaction follow one another', async (t, dialect) => {
  const { app, request } = await startApp(t, dialect);
  await request('POST', '/users', { json: person(1) });
  const ifMatch = (version: number) => ({ ifMatch: [`"${version}"`] });
  const results = await Promise.allSettled([
    app.write((tx) => updateUser(tx, 1, { name: 'Two' }, ifMatch(1))),
    app.write((tx) => updateUser(tx, 1, { name: 'Three' }, ifMatch(1))),
    app.write((tx) => updateUser(tx, 1, { name: 'Four' }, ifMatch(2))),
    app.write((tx) => deleteUser(tx, 1, ifMatch(3))),
    app.write((tx) => updateUser(tx, 1, { name: 'Five' })),
    app.write((tx) => deleteUser(tx, 1)),
  ]);
  t.strictSame(
    results.map((result) =>
      result.status === 'fulfilled' ? (result.value?.name ?? 'gone') : result.reason.code,
    ),
    ['Two', 'version-mismatch', 'Four', 'gone', 'user-not-found', 'user-not-found'],
  );
  t.equal((await request('GET', '/users/1')).status, 404);
});

onEachDatabase(
  'of writes that want one email at once one has it, and the others are told',
  async (t, dialect) => {
    const { app, request } = await startApp(t, dialect);
    for (const at of [1, 2, 3]) await request('POST', '/users', { json: person(at) });
    const wanted = 'wanted@example.com';
    const results = await Promise.allSettled([
      app.write((tx) => updateUser(tx, 1, { email: wanted })),
      app.write((tx) => updateUser(tx, 2, { email: wanted.toUpperCase() })),
      app.write((tx) => createUser(tx, { name: 'New', email: wanted })),
      app.write((tx) => updateUser(tx, 3, { name: 'Bystander' })),
    ]);
    const codes = results.map((result) => (result.status === 'fulfilled' ? 'done' : result.reason.code));
    t.strictSame(codes.slice(0, 3).sort(), ['done', 'email-taken', 'email-taken']);
    t.equal(codes[3], 'done');
    const freed = await Promise.allSettled([
      app.write((tx) => deleteUser(tx, 3)),
      app.write((tx) => createUser(tx, person(3))),
    ]);
    t.equal(freed[0].status, 'fulfilled');
    const again = await request('POST', '/users', { json: person(3) });
    t.equal(again.status, freed[1].status === 'fulfilled' ? 409 : 201, 'an email that is freed can be taken');
  },
);

onEachDatabase(
  'a create is answered with what it made, whatever others do to it at once',
  async (t, dialect) => {
    const { request } = await startApp(t, dialect);
    const [created, changed] = await Promise.all([
      request('POST', '/users', { json: person(1) }),
      request('PATCH', '/users/1', { json: { name: 'Another', email: 'another@example.com' } }),
    ]);
    t.match(created.json(), { ...person(1), version: 1 });
    t.ok([200, 404].includes(changed.status));
  },
);

t.test('a row that another transaction holds keeps only those waiting who want it', async (t) => {
  const { app, request } = await startApp(t, 'postgresql');
  for (const at of [1, 2]) await request('POST', '/users', { json: person(at) });
  const other = app.orm.em.fork();
  await other.begin();
  await other.execute('select id from users where id = 1 for update');
  let isWaiting = true;
  const waiting = request('PATCH', '/users/1', { json: { name: 'Patient' } }).finally(() => {
    isWaiting = false;
  });
  const others = await Promise.all([
    ...Array.from({ length: 20 }, (_, at) => request('POST', '/users', { json: person(10 + at) })),
    request('PATCH', '/users/2', { json: { name: 'In time' } }),
    request('PATCH', '/users/99', { json: { name: 'Nobody' } }),
  ]);
  t.strictSame(
    others.map((answer) => answer.status),
    [...Array.from({ length: 20 }, () => 201), 200, 404],
  );
  t.ok(isWaiting, 'all were answered while one waits');
  await other.rollback();
  t.match((await waiting).json(), { name: 'Patient', version: 2 });
});

t.test('a row that is held for too long is a 503, and nothing was changed', async (t) => {
  const { app, request } = await startApp(t, 'postgresql');
  await request('POST', '/users', { json: person(1) });
  const other = app.orm.em.fork();
  await other.begin();
  await other.execute('select id from users where id = 1 for update');
  const answer = await request('PATCH', '/users/1', { json: { name: 'Impatient' } });
  t.match(answer.json(), { status: 503, type: /database-busy/ });
  t.equal(answer.headers['retry-after'], '1');
  await other.rollback();
  t.match((await request('GET', '/users/1')).json(), { version: 1 });
});

t.test('two writes that wait for one another both succeed', async (t) => {
  const { app, request } = await startApp(t, 'postgresql');
  for (const at of [1, 2]) await request('POST', '/users', { json: person(at) });
  const [one, two] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const touch = async (tx: Tx, id: number) => {
    tx.changed();
    await tx.execute('update users set version = version + 1 where id = ?', [id]);
  };
  const first = app.write(async (tx) => {
    await touch(tx, 1);
    one.resolve();
    await two.promise;
    await touch(tx, 2);
  });
  await one.promise;
  const second = app.write(async (tx) => {
    await touch(tx, 2);
    two.resolve();
    await touch(tx, 1);
  });
  await Promise.all([first, second]);
  for (const id of [1, 2]) t.match((await request('GET', `/users/${id}`)).json(), { version: 3 });
});

t.test('a write that is alone does not wait for company', async (t) => {
  const { app } = await startApp(t, 'sqlite');
  let turns = 0;
  const count = () => {
    turns++;
    counting = setImmediate(count);
  };
  let counting = setImmediate(count);
  await app.write(async () => {
    t.ok(turns <= 3, `it runs after ${turns} turns of the event loop`);
  });
  clearImmediate(counting);
});

onEachDatabase('what a write sees and makes is gone when it fails', async (t, dialect) => {
  const { app } = await startApp(t, dialect);
  const failed = app.write(async (tx) => {
    const user = await createUser(tx, person(1));
    t.equal(await tx.findId(User, 'emailKey', person(1).email), user.id);
    throw new Error('no');
  });
  await t.rejects(failed, { message: 'no' });
  t.equal(await app.orm.em.fork().count(User), 0);
});
