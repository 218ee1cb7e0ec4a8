import { setTimeout as wait } from 'node:timers/promises';
import t, { type Test } from 'tap';
import type { Tx } from '../src/db/tx.ts';
import { eraseFromSchedules, eraseFromTasks } from '../src/tasks/erase.ts';
import { eraseFromFiles, eraseFromRefused } from '../src/transfers/erase.ts';
import { type Erasable, eraseOf } from '../src/users/erase.task.ts';
import { updateUser } from '../src/users/users.ts';
import { startApp, type TestApp } from './support/app.ts';
import { freshDatabase } from './support/databases.ts';
import { ADA, contextOf, note, textOf, upload } from './support/erasure.ts';
import { wholeLog } from './support/log.ts';
import { settled } from './support/tasks.ts';

/** Two replicas on one PostgreSQL. */
async function replicas(t: Test): Promise<[TestApp, TestApp]> {
  const databaseUrl = await freshDatabase('postgresql');
  const options = { kinds: [note] };
  const one = await startApp(t, 'postgresql', { databaseUrl }, options);
  return [one, await startApp(t, 'postgresql', { databaseUrl }, options)];
}

t.test('postgresql: two erasures at once do not put back what the other has removed', async (t) => {
  const [one, two] = await replicas(t);
  const both = { to: 'ada@example.com', cc: 'bob@example.com' };
  await upload(one, `{"email":"ada@example.com"}\n{"email":"bob@example.com"}\n`);
  await one.app.write(async (tx) => {
    tx.changed();
    await tx.execute('insert into import_errors (task_id, line, reason, row) values (1, 1, ?, ?)', [
      'because',
      Buffer.from(JSON.stringify(both)),
    ]);
  });
  const { id } = (await one.request('POST', '/tasks', { json: { kind: 'note', input: both } })).json<{
    id: number;
  }>();
  await settled(one.app, id);
  await one.request('POST', '/schedules', { json: { kind: 'note', input: both, cron: '0 0 1 1 *' } });

  const person = (name: string) => ({ userId: 1, names: [], emails: [`${name}@example.com`], values: [] });
  const places: [string, string, (tx: Tx, name: string) => Promise<unknown>][] = [
    ['upload_blocks', 'bytes', (tx, name) => eraseFromFiles(tx, person(name))],
    ['import_errors', 'row', (tx, name) => eraseFromRefused(tx, person(name))],
    ['tasks', 'input', (tx, name) => eraseFromTasks(tx, person(name), 0, 'erase')],
    ['schedules', 'input', (tx, name) => eraseFromSchedules(tx, person(name))],
  ];
  for (const [table, column, erase] of places) {
    // Each has read before either writes, unless one makes the other wait for it.
    let reads = 0;
    const read = Promise.withResolvers<void>();
    const timer = setTimeout(read.resolve, 500);
    const atOnce = (tx: Tx): Tx => ({
      ...tx,
      async execute(sql, values) {
        const rows = await tx.execute<never>(sql, values);
        if (sql.startsWith('select') && ++reads === 2) read.resolve();
        await read.promise;
        return rows;
      },
    });
    await Promise.all([
      one.app.write((tx) => erase(atOnce(tx), 'ada')),
      two.app.write((tx) => erase(atOnce(tx), 'bob')),
    ]);
    clearTimeout(timer);
    t.notMatch(await textOf(one, table, column), /ada|bob/, table);
  }
});

t.test('postgresql: a patch of another replica that an erasure waits for is looked for', async (t) => {
  const [one, two] = await replicas(t);
  await one.request('POST', '/users', { json: ADA });
  const changed = Promise.withResolvers<void>();
  const held = Promise.withResolvers<void>();
  const patched = two.app.write(async (tx) => {
    await updateUser(tx, 1, { email: 'new@example.com' });
    changed.resolve();
    await held.promise;
  });
  await changed.promise;
  const known: string[][] = [];
  const first: Erasable = {
    name: 'first',
    first: true,
    erase: async (_write, { emails }) => void known.push([...emails].sort()),
  };
  const erased = eraseOf([first], async () => {}).run(contextOf(one, { userId: 1 }));
  const waits = `select 1 from pg_stat_activity where wait_event_type = 'Lock' and query like '%users%'`;
  while ((await two.app.reader.read(waits, [])).length === 0) await wait(20);
  held.resolve();
  await Promise.all([patched, erased]);
  t.strictSame(known.at(-2), ['new@example.com', ADA.email], 'before the user is deleted');
  t.strictSame(known.at(-1), ['new@example.com', ADA.email]);
});

t.test('postgresql: two erasures of one person at once both succeed, and tell it once', async (t) => {
  const [one, two] = await replicas(t);
  await one.request('POST', '/users', { json: ADA });
  const finishing = Promise.withResolvers<void>();
  const held = Promise.withResolvers<void>();
  const first = contextOf(one, { userId: 1 });
  const save = first.save;
  Object.assign(first, {
    save: (work: (tx: Tx) => Promise<unknown>) =>
      save(async (tx) => {
        const kept = (await work(tx)) as { emails: string[] };
        if (kept.emails.length === 0) {
          finishing.resolve();
          await held.promise;
        }
        return kept;
      }),
  });
  const kind = eraseOf([], async () => {});
  const firstly = kind.run(first);
  await finishing.promise;
  const secondly = kind.run(contextOf(two, { userId: 1 }));
  const waits = `select 1 from pg_stat_activity where wait_event_type in ('Lock') and query like '%changes%'`;
  while ((await two.app.reader.read(waits, [])).length === 0) await wait(20);
  held.resolve();
  await Promise.all([firstly, secondly]);
  t.strictSame(
    (await wholeLog(one)).map(({ type }) => type),
    ['user.created', 'user.deleted', 'user.erased'],
  );
});
