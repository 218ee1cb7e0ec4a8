import { setTimeout as wait } from 'node:timers/promises';
import t from 'tap';
import { LongReads } from '../src/db/long-reads.ts';
import { startApp } from './support/app.ts';
import { onEachDatabase } from './support/databases.ts';

t.test('a few long reads run at once, in order, and short ones do not wait for them', async (t) => {
  const reads = new LongReads(2);
  const begun: number[] = [];
  const ends: (() => void)[] = [];
  const read = (n: number) => async () => {
    begun.push(n);
    await new Promise<void>((resolve) => ends.push(resolve));
    return n;
  };
  const all = [1, 2, 3, 4].map((n) => reads.run(250, read(n)));
  await wait(5);
  t.strictSame(begun, [1, 2]);
  t.equal(reads.waiting, 2);
  t.equal(await reads.run(249, async () => 'short'), 'short');
  ends[1]?.();
  t.equal(await all[1], 2);
  await wait(5);
  t.strictSame(begun, [1, 2, 3]);
  for (; begun.length < 4; await wait(1)) for (const end of ends) end();
  for (const end of ends) end();
  t.strictSame(await Promise.all(all), [1, 2, 3, 4]);
  t.equal(reads.waiting, 0);
});

t.test('one that fails, and one that throws at once, make room', async (t) => {
  const reads = new LongReads(1);
  const failing = () => Promise.reject(new Error('no'));
  const throwing = (): never => {
    throw new Error('at once');
  };
  const all = [failing, throwing, async () => 'yes'].map((work) => reads.run(1000, work));
  t.match(await Promise.allSettled(all), [
    { reason: { message: 'no' } },
    { reason: { message: 'at once' } },
    { value: 'yes' },
  ]);
});

t.test('each has a turn of the event loop', async (t) => {
  const reads = new LongReads(1);
  let turns = 0;
  const count = () => {
    turns++;
    if (turns < 100) setImmediate(count);
  };
  setImmediate(count);
  const at = await Promise.all([0, 0, 0, 0].map(() => reads.run(1000, async () => turns)));
  t.equal(new Set(at).size, 4, `in turns ${at}`);
});

t.test('beyond fifty that wait the next is refused, and who has waited for too long', async (t) => {
  const reads = new LongReads(1, 500);
  const held = Promise.withResolvers<string>();
  const hold = () => reads.run(1000, () => held.promise);
  const all = [hold()];
  await wait(5);
  all.push(...Array.from({ length: 50 }, hold));
  t.equal(reads.waiting, 50);
  await t.rejects(
    reads.run(1000, async () => 'never'),
    { code: 'too-busy' },
  );
  t.equal(await reads.run(20, async () => 'short'), 'short');
  const waited = all.slice(1).map((one) => t.rejects(one, { code: 'too-busy' }));
  await Promise.all(waited);
  held.resolve('late');
  t.equal(reads.refused, 51);
  t.equal(await all[0], 'late', 'who has begun may end');
  t.equal(await reads.run(1000, async () => 'again'), 'again');
});

t.test('whoever leaves makes room, and is not begun any more', async (t) => {
  const reads = new LongReads(1);
  const held = Promise.withResolvers<void>();
  const first = reads.run(1000, () => held.promise);
  await wait(5);
  const left = new AbortController();
  let begun = false;
  const second = reads.run(
    1000,
    async () => {
      begun = true;
    },
    left.signal,
  );
  t.equal(reads.waiting, 1);
  left.abort();
  await t.rejects(second, { code: 'too-busy' });
  t.equal(reads.waiting, 0);
  const third = reads.run(1000, async () => 'never', left.signal);
  t.equal(reads.waiting, 0, 'who has left already does not wait');
  await t.rejects(third, { code: 'too-busy' });
  held.resolve();
  await first;
  t.equal(await reads.run(1000, async () => 'next'), 'next');
  t.notOk(begun);
});

onEachDatabase(
  'when more long lists are asked for than can be read, only those are refused',
  async (t, dialect) => {
    const { app, log, request } = await startApp(t, dialect);
    await request('POST', '/users', { json: { name: 'Ada', email: 'ada@example.com' } });
    const held = Promise.withResolvers<void>();
    const hold = () => app.reader.long.run(1000, () => held.promise);
    const long = [1, 2, 3, 4].map(hold);
    await wait(5);
    long.push(...Array.from({ length: 50 }, hold));
    const ended = Promise.allSettled(long);
    const refused = await request('GET', '/users?limit=250');
    t.equal(refused.status, 503);
    t.equal(refused.headers['retry-after'], '1');
    t.match(refused.json(), { type: 'urn:problem-type:muster:too-busy' });
    t.equal(app.reader.long.waiting, 50);
    for (const path of ['/users/1', '/users?limit=249', '/users?limit=1000&email=ada@example.com'])
      t.equal((await request('GET', path)).status, 200, path);
    held.resolve();
    await ended;
    t.equal((await request('GET', '/users?limit=1000')).status, 200);
    t.match((await request('GET', '/metrics')).text, /shed_total{reason="long_reads"} [1-9]/);
    t.notOk(
      log.some(({ level }) => level >= 50),
      'it is no fault',
    );
  },
);
