import t from 'tap';
import { Type } from 'typebox';
import { nextRun } from '../src/tasks/cron.ts';
import { defineTask } from '../src/tasks/kinds.ts';
import { pointers } from './support/app.ts';
import { emptyDatabase, onEachDatabase } from './support/databases.ts';
import { settled, startTasks } from './support/tasks.ts';

const tick = () =>
  defineTask({ kind: 'tick', description: 'Ticks.', input: Type.Object({}), run: async () => 'tock' });

onEachDatabase('schedules are made, listed and deleted; those built in stay', async (t, dialect) => {
  const { request } = await startTasks(t, dialect, [tick()]);
  const made = await request('POST', '/schedules', {
    json: { kind: 'tick', cron: '30 6 * * 1-5', timeZone: 'Europe/Oslo' },
  });
  t.equal(made.status, 201);
  const { id, nextRunAt } = made.json<{ id: number; nextRunAt: string }>();
  t.equal(made.headers.location, `/schedules/${id}`);
  t.match(made.json(), { kind: 'tick', input: {}, timeZone: 'Europe/Oslo' });
  t.strictSame((await request('GET', String(made.headers.location))).json(), made.json());
  t.equal((await request('GET', '/schedules/99999999999')).status, 404);
  t.match(nextRunAt, /T0[45]:30:00.000Z$/, 'half past six in Oslo');
  const all = (await request('GET', '/schedules')).json<{ id: number; name?: string }[]>();
  t.match(all, [{ name: 'prune' }, { id }]);
  t.equal((await request('DELETE', `/schedules/${all[0]?.id}`)).status, 409);
  t.equal((await request('DELETE', `/schedules/${id}`)).status, 204);
  t.equal((await request('DELETE', `/schedules/${id}`)).status, 404);
  t.equal((await request('GET', `/schedules/${id}`)).status, 404);
  t.equal((await request('DELETE', '/schedules/99999999999')).status, 404);
});

onEachDatabase('what is wrong with a schedule is said where it is', async (t, dialect) => {
  const { request } = await startTasks(t, dialect, []);
  const post = async (json: unknown) => {
    const answer = await request('POST', '/schedules', { json });
    return [answer.status, ...pointers(answer)];
  };
  const good = { kind: 'sleep', input: { ms: 1 }, cron: '* * * * *' };
  t.strictSame(await post({ ...good, cron: 'every day' }), [422, '#/cron']);
  t.strictSame(await post({ ...good, cron: '* * * * * *' }), [422, '#/cron'], 'no seconds');
  t.strictSame(await post({ ...good, cron: '0 0 31 2 *' }), [422, '#/cron'], 'no day');
  t.strictSame(await post({ ...good, timeZone: 'Middle/Earth' }), [422, '#/timeZone']);
  t.strictSame(await post({ ...good, kind: 'dance' }), [422, '#/kind']);
  t.strictSame(await post({ ...good, input: {} }), [422, '#/input/ms']);
});

onEachDatabase('times missed while nothing ran are one task', async (t, dialect) => {
  const databaseUrl = await emptyDatabase(t, dialect);
  const first = await startTasks(t, dialect, [tick()], { databaseUrl });
  // Each hour, and not in the next minutes.
  const cron = `${(new Date().getUTCMinutes() + 30) % 60} * * * *`;
  const made = await first.request('POST', '/schedules', { json: { kind: 'tick', cron } });
  const { id } = made.json<{ id: number }>();
  const dayAgo = new Date(Date.now() - 86_400_000);
  await first.app.write((tx) =>
    tx.em.execute('update schedules set next_run_at = ? where id = ?', [dayAgo, id]),
  );
  await first.app.close();
  const apps = [await startTasks(t, dialect, [tick()], { databaseUrl })];
  // Of two replicas one enqueues it.
  if (dialect === 'postgresql') apps.push(await startTasks(t, dialect, [tick()], { databaseUrl }));
  const [{ app, request }] = apps as [(typeof apps)[0]];
  t.match(await settled(app, 1), { kind: 'tick', state: 'succeeded' });
  const schedules = (await request('GET', '/schedules')).json<{ id: number; nextRunAt: string }[]>();
  const next = Date.parse(schedules.find((one) => one.id === id)?.nextRunAt ?? '');
  t.ok(next > Date.now() && next <= Date.now() + 3_600_000, 'the next is reckoned from now');
  t.equal((await request('GET', '/tasks')).json<unknown[]>().length, 1);
});

onEachDatabase('one that cannot fire is passed over, and the others fire', async (t, dialect) => {
  const { app, request, log } = await startTasks(t, dialect, [tick()]);
  const now = Date.now();
  for (let n = 0; n < 4; n++)
    await request('POST', '/schedules', { json: { kind: 'tick', cron: '0 0 1 1 *' } });
  const ids = (await request('GET', '/schedules')).json<{ id: number; name?: string }[]>();
  const [unfit, gone, unknown, good] = ids.filter(({ name }) => name === undefined).map(({ id }) => id);
  await app.write(async (tx) => {
    tx.ring('schedules');
    await tx.em.execute(`update schedules set kind = 'sleep' where id = ?`, [unfit]);
    await tx.em.execute(`update schedules set time_zone = 'Middle/Earth' where id = ?`, [gone]);
    await tx.em.execute(`update schedules set kind = 'dance' where id = ?`, [unknown]);
    await tx.em.execute('update schedules set next_run_at = ? where name is null', [new Date(now - 1000)]);
  });
  t.match(await settled(app, 1), { kind: 'tick', state: 'succeeded' });
  t.equal((await request('GET', '/tasks')).json<unknown[]>().length, 1);
  const all = (await request('GET', '/schedules')).json<{ id: number; nextRunAt: string }[]>();
  const next = (id?: number) => Date.parse(all.find((one) => one.id === id)?.nextRunAt ?? '');
  for (const id of [unfit, unknown, good]) t.match(new Date(next(id)).toISOString(), /-01-01T00:00/);
  t.ok(Math.abs(next(gone) - now - 86_400_000) < 60_000, 'what has no next time is looked at a day later');
  const warned = log.filter(({ msg }) => msg === 'a schedule cannot fire, and is passed over');
  t.strictSame(warned.map(({ schedule }) => schedule).sort(), [unfit, gone, unknown].sort());
});

t.test('many replicas that see the same schedule due enqueue it once', async (t) => {
  const databaseUrl = await emptyDatabase(t, 'postgresql');
  const apps = [];
  for (let n = 0; n < 3; n++) apps.push(await startTasks(t, 'postgresql', [tick()], { databaseUrl }));
  const [{ app, request }] = apps as [(typeof apps)[0]];
  for (let n = 0; n < 5; n++)
    await request('POST', '/schedules', { json: { kind: 'tick', cron: '0 0 1 1 *' } });
  const soon = new Date(Date.now() + 300);
  await app.write((tx) => {
    tx.ring('schedules');
    return tx.em.execute('update schedules set next_run_at = ? where name is null', [soon]);
  });
  for (let id = 1; id <= 5; id++) await settled(app, id);
  t.equal((await request('GET', '/tasks')).json<unknown[]>().length, 5);
});

t.test('a change of clocks neither loses a firing nor doubles it', async (t) => {
  const next = (cron: string, after: string) => nextRun(cron, 'Europe/Oslo', new Date(after)).toISOString();
  t.equal(
    next('30 2 * * *', '2026-03-28T12:00:00Z'),
    '2026-03-29T01:00:00.000Z',
    'half past two is not there',
  );
  t.equal(next('30 2 * * *', '2026-10-24T12:00:00Z'), '2026-10-25T00:30:00.000Z', 'the first of two');
  t.equal(next('30 2 * * *', '2026-10-25T00:30:00Z'), '2026-10-26T01:30:00.000Z', 'and not the second');
  const times = (cron: string, after: string, count: number) => {
    const all = [after];
    while (all.length <= count) all.push(next(cron, all.at(-1) ?? ''));
    return all.slice(1);
  };
  t.strictSame(
    times('0 2,14 * * *', '2026-03-28T13:00:00.000Z', 3),
    ['2026-03-29T01:00:00.000Z', '2026-03-29T12:00:00.000Z', '2026-03-30T00:00:00.000Z'],
    'of a list of hours, the one that is not there',
  );
  t.strictSame(
    times('0 2,14 * * *', '2026-10-24T12:00:00.000Z', 3),
    ['2026-10-25T00:00:00.000Z', '2026-10-25T13:00:00.000Z', '2026-10-26T01:00:00.000Z'],
    'of a list of hours, the one that is there twice',
  );
  t.strictSame(
    times('0 */2 * * *', '2026-03-28T23:00:00.000Z', 2),
    ['2026-03-29T02:00:00.000Z', '2026-03-29T04:00:00.000Z'],
    'a step makes up for nothing',
  );
  t.strictSame(
    times('*/30 * * * *', '2026-10-25T00:00:00.000Z', 4),
    [
      '2026-10-25T00:30:00.000Z',
      '2026-10-25T01:00:00.000Z',
      '2026-10-25T01:30:00.000Z',
      '2026-10-25T02:00:00.000Z',
    ],
    'a wildcard counts both of an hour that is there twice',
  );
});

onEachDatabase(
  'pruning takes what has been kept long enough, children before parents',
  async (t, dialect) => {
    const { app, request } = await startTasks(t, dialect, [tick()]);
    const tasks = [{ kind: 'tick' }, { kind: 'tick' }];
    await request('POST', '/tasks', { json: { kind: 'gather', input: { tasks } } });
    await settled(app, 1);
    const later = { kind: 'sleep', input: { ms: 1 }, runAt: '2030-01-01T00:00:00Z' };
    await request('POST', '/tasks', { json: later, headers: { 'idempotency-key': 'old' } });
    await request('POST', '/tasks', { json: { kind: 'tick' }, headers: { 'idempotency-key': 'new' } });
    await settled(app, 5);
    const old = new Date(Date.now() - 31 * 86_400_000);
    await app.write(async ({ em }) => {
      await em.execute('update tasks set created_at = ?, finished_at = ? where id <= 3', [old, old]);
      await em.execute('update tasks set created_at = ? where id = 4', [old]);
      await em.execute(
        `update idempotency_records set created_at = ? where cast(answer as text) like '%/tasks/4"%'`,
        [old],
      );
    });
    await request('POST', '/tasks', { json: { kind: 'prune' } });
    t.match(await settled(app, 6), {
      state: 'succeeded',
      result: { deleted: { tasks: 3, idempotencyRecords: 1 } },
    });
    const left = (await request('GET', '/tasks')).json<{ id: number }[]>();
    t.strictSame(
      left.map(({ id }) => id),
      [6, 5, 4],
      'what is young, and what has not ended, stays',
    );
  },
);
