import t from 'tap';
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
    const statements = await statementsOf(muster, async () => {
      const found = await Promise.all([3, 1, 2, 3].map((id) => muster.app.getUser(id)));
      t.strictSame(
        found.map((user) => user.id),
        [3, 1, 2, 3],
      );
    });
    t.strictSame(statements, { select: 1 });
    await muster.request('PATCH', '/users/1', { json: { name: 'Changed' } });
    t.equal((await muster.app.getUser(1)).name, 'Changed');
  },
);

onEachDatabase('writes that arrive together share one transaction and one statement', async (t, dialect) => {
  const muster = await startApp(t, dialect);
  const statements = await statementsOf(muster, () =>
    Promise.all(Array.from({ length: 20 }, (_, at) => muster.app.write((tx) => createUser(tx, person(at))))),
  );
  t.strictSame(statements, { begin: 1, insert: 1, commit: 1 });
});

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
    [
      'kept',
      'Error',
      'kept',
      'TypeError',
      results[4]?.status === 'rejected' ? results[4].reason.constructor.name : '',
      'Conflict',
      'kept',
      'Conflict',
    ],
  );
  t.equal(results[4]?.status, 'rejected');
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
  'an email that one write frees another can take, whichever comes first',
  async (t, dialect) => {
    const { app, request } = await startApp(t, dialect);
    for (const at of [1, 2]) await request('POST', '/users', { json: person(at) });
    const results = await Promise.allSettled([
      app.write((tx) => deleteUser(tx, 1)),
      app.write((tx) => createUser(tx, person(1))),
      app.write((tx) => updateUser(tx, 2, { email: 'new@example.com' })),
      app.write((tx) => createUser(tx, person(2))),
    ]);
    for (const result of results) {
      if (result.status === 'rejected')
        t.equal(result.reason.code, 'email-taken', 'or is told that it is taken');
    }
    const emails = (await request('GET', '/users')).json<{ email: string }[]>().map((user) => user.email);
    t.equal(new Set(emails).size, emails.length);
  },
);

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
    t.equal((await tx.find(User, 'emailKey', person(1).email))?.id, user.id);
    throw new Error('no');
  });
  await t.rejects(failed, { message: 'no' });
  t.equal(await app.orm.em.fork().count(User), 0);
});
