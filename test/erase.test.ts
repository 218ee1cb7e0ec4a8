import { readdir, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import Database from 'better-sqlite3';
import t from 'tap';
import { Type } from 'typebox';
import { pruneChanges } from '../src/changes/log.ts';
import type { Tx } from '../src/db/tx.ts';
import { sqlitePath } from '../src/db/url.ts';
import { defineTask, type TaskContext } from '../src/tasks/kinds.ts';
import { eraseOf } from '../src/users/erase.task.ts';
import { startApp } from './support/app.ts';
import { emptyDatabase, onEachDatabase } from './support/databases.ts';
import { Follower } from './support/follow.ts';
import { type Change, wholeLog } from './support/log.ts';
import { settled } from './support/tasks.ts';

const note = defineTask({
  kind: 'note',
  description: 'Notes something.',
  input: Type.Object({}, { additionalProperties: true }),
  run: async ({ input }) => ({ noted: input }),
});

/** Runs until it is cancelled. */
function holdOf() {
  return defineTask({
    kind: 'hold',
    description: 'Holds something.',
    input: Type.Object({ to: Type.String() }),
    run: ({ signal }) =>
      new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
  });
}

/** Letters that stand together nowhere else. */
const PERSON = {
  name: 'Zqjxkvw Wvkxjqz',
  email: 'Zqjxkvw.Person@Example.com',
  attributes: { phone: '+44 2079 460 999', nested: [{ street: 'Qzxjvkw Lane 77' }] },
};
const OTHER = { name: 'Grace', email: 'grace@example.com', attributes: { phone: '+1 555' } };

onEachDatabase(
  'an erased user is nowhere any more, and their changes are empty places',
  async (t, dialect) => {
    const databaseUrl = await emptyDatabase(t, dialect);
    const app = await startApp(t, dialect, { databaseUrl }, { kinds: [note] });
    const { request } = app;
    const key = { 'idempotency-key': 'ada' };
    await request('POST', '/users', { json: PERSON, headers: key });
    await request('POST', '/users', { json: OTHER, headers: { 'idempotency-key': 'grace' } });
    await request('PATCH', '/users/1', { json: { name: 'Jqvzxkw Second', email: 'qvzxjk@example.com' } });
    const mention = {
      about: 'zqjxkvw.person@EXAMPLE.com wrote',
      who: PERSON.name,
      phone: PERSON.attributes.phone,
    };
    await request('POST', '/tasks', { json: { kind: 'note', input: { ...mention, other: 'stays' } } });
    await request('POST', '/tasks', { json: { kind: 'note', input: { other: 'Grace' } } });
    for (const id of [1, 2]) await settled(app.app, id);

    const base = await app.app.listen({ host: '127.0.0.1', port: 0 });
    const follower = new Follower(base, '/changes?after=0');
    t.teardown(() => follower.cut());
    await follower.until(({ changes }) => changes.length === 3);

    const asked = await request('POST', '/users/1/erase');
    t.equal(asked.status, 202);
    t.match(await settled(app.app, asked.json<{ id: number }>().id), { state: 'succeeded' });

    t.equal((await request('GET', '/users/1')).status, 404);
    const log = await wholeLog(app);
    t.strictSame(
      log.map(({ type, userId, version, user }) => [type, userId, version, user?.name ?? null]),
      [
        ['user.created', 1, 1, null],
        ['user.created', 2, 1, 'Grace'],
        ['user.updated', 1, 2, null],
        ['user.deleted', 1, 3, null],
        ['user.erased', 1, 4, null],
      ],
    );
    await follower.until(({ changes }) => changes.length === 5);
    t.strictSame(follower.changes.at(-1), log.at(-1), 'followers are told');
    const late = new Follower(base, '/changes?after=0');
    await late.until(({ changes }) => changes.length === 5);
    late.cut();
    t.strictSame(late.changes, log, 'and who comes later is not shown what was at hand');

    t.equal((await request('GET', `/users/1?at=${log[0]?.position}`)).status, 404);
    t.strictSame(
      (await request('GET', '/users/1/history')).json<Change[]>().map(({ user }) => user),
      [null, null, null, null],
    );
    t.match((await request('GET', '/tasks/1')).json(), {
      input: { about: '[erased]', who: '[erased]', phone: '[erased]', other: 'stays' },
      result: { noted: { who: '[erased]' } },
    });
    t.match((await request('GET', '/tasks/2')).json(), { input: { other: 'Grace' } });
    const again = await request('POST', '/users', { json: PERSON, headers: key });
    t.equal(again.status, 422, 'a late repetition creates nobody anew');
    const grace = await request('POST', '/users', { json: OTHER, headers: { 'idempotency-key': 'grace' } });
    t.strictSame([grace.status, grace.json().name], [201, 'Grace'], 'others keep their answers');

    const second = await request('POST', '/users/1/erase');
    await settled(app.app, second.json<{ id: number }>().id);
    t.equal((await wholeLog(app)).length, 5, 'a second time there is nothing to do');
    t.equal((await request('POST', '/users/3/erase')).status, 404);
    t.equal((await request('GET', '/users?q=zqjxkvw')).json<unknown[]>().length, 0);
  },
);

onEachDatabase('whom somebody was deleted as before can be erased, too', async (t, dialect) => {
  const app = await startApp(t, dialect);
  await app.request('POST', '/users', { json: PERSON, headers: { 'idempotency-key': 'one' } });
  await app.request('DELETE', '/users/1');
  // Another person has the email now.
  await app.request('POST', '/users', {
    json: { ...PERSON, name: 'Heir' },
    headers: { 'idempotency-key': 'two' },
  });
  const { id } = (await app.request('POST', '/users/1/erase')).json<{ id: number }>();
  await settled(app.app, id);
  const log = await wholeLog(app);
  t.strictSame(
    log.map(({ type, userId, user }) => [type, userId, user?.name ?? null]),
    [
      ['user.created', 1, null],
      ['user.deleted', 1, null],
      ['user.created', 2, 'Heir'],
      ['user.erased', 1, null],
    ],
  );
  const repeated = await app.request('POST', '/users', {
    json: { ...PERSON, name: 'Heir' },
    headers: { 'idempotency-key': 'two' },
  });
  t.strictSame([repeated.status, repeated.headers['idempotent-replayed']], [201, 'true']);
});

onEachDatabase(
  'what only resembles an erased person stays, and what was to be done for them is cancelled',
  async (t, dialect) => {
    const app = await startApp(t, dialect, {}, { kinds: [note, holdOf()] });
    const { request } = app;
    const post = async (json: object) =>
      (await request('POST', '/tasks', { json })).json<{ id: number }>().id;
    await request('POST', '/users', {
      json: { name: 'userId', email: 'al@b.co', attributes: { mode: 'skip' } },
    });
    await request('POST', '/users', { json: { name: 'sleep', email: 'ms@example.com' } });
    const note1 = await post({
      kind: 'note',
      input: { to: 'sal@b.co', cc: 'al@b.co.uk', mode: 'skip', al: 'b' },
    });
    const note2 = await post({
      kind: 'note',
      input: { al: 'to <AL@b.co>, and al@b.co.', mode: 'skip', userId: 1 },
    });
    await settled(app.app, note1);
    await settled(app.app, note2);
    const later = { runAt: '2999-01-01T00:00:00Z' };
    const queued = await post({ kind: 'note', input: { to: 'al@b.co' }, dedupeKey: 'for al@b.co', ...later });
    const running = await post({ kind: 'hold', input: { to: 'al@b.co' } });
    await settled(app.app, running, ({ state }) => state === 'running');
    const gather = await post({
      kind: 'gather',
      input: {
        tasks: [
          { kind: 'sleep', input: { ms: 1 } },
          { kind: 'note', input: { to: 'al@b.co', kind: 'sleep' } },
        ],
      },
    });
    await settled(app.app, gather);
    await request('POST', '/schedules', {
      json: { kind: 'note', input: { to: 'al@b.co' }, cron: '0 0 1 1 *' },
    });

    const both = await Promise.all([1, 2].map((id) => request('POST', `/users/${id}/erase`)));
    for (const one of both) {
      t.match(await settled(app.app, one.json<{ id: number }>().id), { state: 'succeeded' });
    }
    t.strictSame((await request('GET', '/users')).json(), []);
    const input = async (id: number) =>
      (await request('GET', `/tasks/${id}`)).json<{ input: unknown }>().input;
    t.strictSame(await input(note1), { to: 'sal@b.co', cc: 'al@b.co.uk', mode: 'skip', al: 'b' });
    t.strictSame(await input(note2), { al: 'to <[erased]>, and [erased].', mode: 'skip', userId: 1 });
    t.match((await request('GET', `/tasks/${queued}`)).json(), {
      state: 'cancelled',
      input: { to: '[erased]' },
      dedupeKey: 'for [erased]',
    });
    t.match((await request('GET', `/tasks/${running}`)).json(), {
      state: 'cancelled',
      input: { to: '[erased]' },
    });
    t.match(await input(gather), {
      tasks: [{ kind: 'sleep' }, { kind: 'note', input: { to: '[erased]', kind: 'sleep' } }],
    });
    t.match((await request('GET', '/schedules')).text, /"input":\{"to":"\[erased\]"\}/);
  },
);

onEachDatabase('whose changes are not kept any more is erased all the same', async (t, dialect) => {
  const app = await startApp(t, dialect);
  await app.request('POST', '/users', { json: PERSON, headers: { 'idempotency-key': 'one' } });
  await app.app.write((tx) => pruneChanges(tx.em, new Date('2999-01-01T00:00:00Z'), 100));
  const { id } = (await app.request('POST', '/users/1/erase')).json<{ id: number }>();
  await settled(app.app, id);
  const [record] = await app.app.reader.read<{ answer: unknown }>(
    'select answer from idempotency_records',
    [],
  );
  t.equal(record?.answer, null);
  const kept = await app.app.reader.read<Record<string, unknown>>('select * from tasks', []);
  t.notMatch(JSON.stringify(kept), /Person@Example/, 'nor does the task itself know them any more');
});

onEachDatabase(
  'a gather and what waits in it, both for an erased person, are cancelled together',
  async (t, dialect) => {
    const { app, request } = await startApp(t, dialect, {}, { kinds: [note, holdOf()] });
    await request('POST', '/users', { json: { name: 'Al', email: 'al@b.co' } });
    const input = { to: 'al@b.co' };
    const tasks = [
      { kind: 'hold', input },
      { kind: 'note', input },
    ];
    await request('POST', '/tasks', { json: { kind: 'gather', input: { concurrency: 1, tasks } } });
    await settled(app, 2, ({ state }) => state === 'running');
    const { id } = (await request('POST', '/users/1/erase')).json<{ id: number }>();
    t.match(await settled(app, id), { state: 'succeeded', attempt: 1 });
    for (const one of [1, 2, 3]) t.match(await settled(app, one), { state: 'cancelled' });
  },
);

onEachDatabase('who gets a number only after an erasure has looked for it stays', async (t, dialect) => {
  const { app, request } = await startApp(t, dialect);
  let looks = 0;
  const reader = {
    ...app.reader,
    async read<Row>(sql: string, values: readonly unknown[]) {
      const rows = await app.reader.read<Row>(sql, values);
      if (++looks === 1) await request('POST', '/users', { json: PERSON });
      return rows;
    },
  };
  const run = async () => {
    const context = {
      input: { userId: 1 },
      actor: null,
      signal: AbortSignal.timeout(60_000),
      checkpoint: undefined as unknown,
      tasks: { reader },
      write: app.write,
      async save(work: (tx: Tx) => Promise<unknown>) {
        context.checkpoint = await app.write(work);
      },
    };
    await eraseOf([], async () => {}).run(context as unknown as TaskContext<{ userId: number }>);
  };
  await run();
  t.match(await wholeLog({ request }), [{ type: 'user.created', user: PERSON }]);
  t.match((await request('GET', '/users/1')).json(), PERSON);
  await run();
  t.equal((await request('GET', '/users/1')).status, 404, 'and can be erased');
});

t.test('on SQLite no byte of an erased user is left', async (t) => {
  const databaseUrl = await emptyDatabase(t, 'sqlite');
  const app = await startApp(t, 'sqlite', { databaseUrl }, { kinds: [note] });
  // Enough of others before and after that pages split, fill and are emptied.
  const others = (from: number) =>
    Promise.all(
      Array.from({ length: 400 }, (_, n) =>
        app.request('POST', '/users', {
          json: { name: `Other ${from + n}`, email: `other${from + n}@example.com` },
        }),
      ),
    );
  await others(0);
  const { id } = (
    await app.request('POST', '/users', { json: PERSON, headers: { 'idempotency-key': 'ada' } })
  ).json<{ id: number }>();
  await others(1000);
  for (let n = 0; n < 20; n++) {
    await app.request('PATCH', `/users/${id}`, {
      json: { attributes: { note: `Wkqjzx ${'x'.repeat(n * 400)}` } },
    });
  }
  await app.request('PATCH', `/users/${id}`, {
    json: { name: 'Jqvzxkw Second', email: 'qvzxjk@example.com' },
  });
  await app.request('POST', '/tasks', { json: { kind: 'note', input: { about: PERSON.email } } });
  await settled(app.app, 1);
  const needles = [
    'Zqjxkvw',
    'zqjxkvw',
    'Wvkxjqz',
    'wvkxjqz',
    'Qzxjvkw',
    '+44 2079',
    'Wkqjzx',
    'Jqvzxkw',
    'qvzxjk',
  ];
  const trigrams = ['zqj', 'qjx', 'xkv', 'vzx'];
  const found = async () => {
    const folder = dirname(sqlitePath(databaseUrl));
    const files = await Promise.all((await readdir(folder)).map((file) => readFile(join(folder, file))));
    return [...needles, ...trigrams].filter((needle) => files.some((file) => file.includes(needle)));
  };
  t.strictSame((await found()).sort(), [...needles, ...trigrams].sort(), 'all was there');
  const task = (await app.request('POST', `/users/${id}/erase`)).json<{ id: number }>();
  t.match(await settled(app.app, task.id), { state: 'succeeded' });
  t.strictSame(await found(), [], 'nothing is');
  const check = new Database(sqlitePath(databaseUrl), { readonly: true });
  t.equal(check.pragma('integrity_check', { simple: true }), 'ok');
  check.close();
});
