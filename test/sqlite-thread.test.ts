import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import t from 'tap';
import { connectSqlite } from '../src/db/sqlite-connection.ts';

t.test('a statement that takes long, or waits for the disk, keeps nothing else waiting', async (t) => {
  const connection = connectSqlite(join(t.testdir(), 'muster.db'));
  t.teardown(() => connection.close());
  await connection.run('create table numbers (n integer)');
  const count = `with recursive upto(n) as (select 1 union all select n + 1 from upto where n < 3000000)
    select count(*) as many from upto`;
  let turns = 0;
  for (let tries = 0; turns <= 100 && tries < 10; tries++) {
    turns = 0;
    let over = false;
    const counted = connection.run(count).finally(() => {
      over = true;
    });
    while (!over) {
      turns++;
      await turn();
    }
    t.same((await counted).rows, [{ many: 3_000_000 }]);
  }
  t.ok(turns > 100, 'the event loop went on');
});

t.test('statements run in the order in which they are sent, and each has its own answer', async (t) => {
  const connection = connectSqlite(join(t.testdir(), 'muster.db'));
  const all = await Promise.allSettled([
    connection.run('create table numbers (n integer unique)'),
    connection.run('insert into numbers (n) values (?)', [7], true),
    connection.run('insert into numbers (n) values (?)', [7], true),
    connection.run('select n from nowhere'),
    connection.run('select n, ? as bytes from numbers', [Buffer.from('ab')]),
  ]);
  t.match(all, [
    { value: { rows: [], changes: 0 } },
    { value: { changes: 1, lastInsertRowid: 1 } },
    { reason: { name: 'SqliteError', code: 'SQLITE_CONSTRAINT_UNIQUE', message: /numbers.n/ } },
    { reason: { code: 'SQLITE_ERROR', message: /no such table: nowhere/ } },
    { value: { rows: [{ n: 7, bytes: new Uint8Array([97, 98]) }] } },
  ]);
  const last = connection.run('select count(*) as many from numbers');
  await connection.close();
  t.same((await last).rows, [{ many: 1 }], 'what was asked before the end is answered');
  await t.rejects(connection.run('select 1'), /closed/);
  await connection.close();
});

t.test('a file that cannot be opened says so to whoever asks', async (t) => {
  const connection = connectSqlite(join(t.testdir(), 'no', 'such', 'folder', 'muster.db'));
  await t.rejects(connection.run('select 1'), /directory does not exist/);
  await connection.close();
});

t.test('two pieces of one memory are kept as they are, and stay with whoever sent them', async (t) => {
  const connection = connectSqlite(join(t.testdir(), 'muster.db'));
  t.teardown(() => connection.close());
  const whole = Buffer.from('abcdef');
  const pieces = [whole.subarray(0, 2), whole.subarray(3)];
  const bytes = { a: new Uint8Array([97, 98]), b: new Uint8Array([100, 101, 102]) };
  t.same((await connection.run('select ? as a, ? as b', pieces)).rows, [bytes]);
  t.same(
    (await connection.run('select 1 as n')).rows,
    [{ n: 1 }],
    'the next answer is that of the next question',
  );
  t.equal(String(whole), 'abcdef');
});
