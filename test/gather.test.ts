import { setTimeout as wait } from 'node:timers/promises';
import type { FastifyInstance } from 'fastify';
import t from 'tap';
import { Type } from 'typebox';
import { Unavailable } from '../src/errors.ts';
import { retryTask } from '../src/tasks/control.ts';
import { defineTask, PermanentFailure } from '../src/tasks/kinds.ts';
import { pruneTasks } from '../src/tasks/prune.task.ts';
import type { Run } from '../src/tasks/run.ts';
import { CHANGED } from '../src/tasks/topics.ts';
import { settleApart } from '../src/tasks/turn.ts';
import { emptyDatabase, onEachDatabase } from './support/databases.ts';
import { settled, startTasks } from './support/tasks.ts';

interface Gathered {
  tasks: { id: number; kind: string; state: string; result?: unknown; error?: { message: string } }[];
}

/** `gate` holds those up that ask for it; `ran` says which ran, in order. */
function stepKind() {
  const gate = Promise.withResolvers<void>();
  const ran: number[] = [];
  let now = 0;
  const step = {
    gate,
    ran,
    most: 0,
    kind: defineTask({
      kind: 'step',
      description: 'A step.',
      input: Type.Object({
        n: Type.Integer(),
        fails: Type.Optional(Type.Boolean()),
        waits: Type.Optional(Type.Boolean()),
      }),
      async run({ input, signal }) {
        ran.push(input.n);
        step.most = Math.max(step.most, ++now);
        try {
          if (input.fails) throw new PermanentFailure(`no ${input.n}`);
          const aborted = new Promise((_resolve, reject) =>
            signal.addEventListener('abort', () => reject(signal.reason)),
          );
          if (input.waits) await Promise.race([gate.promise, aborted]);
          await new Promise(setImmediate);
          return input.n * 10;
        } finally {
          now--;
        }
      },
    }),
  };
  return step;
}

const steps = (count: number, more: object = {}) =>
  Array.from({ length: count }, (_, n) => ({ kind: 'step', input: { n, ...more } }));

onEachDatabase('gather runs many at once and gives their ends in the order given', async (t, dialect) => {
  const step = stepKind();
  const { app, request } = await startTasks(t, dialect, [step.kind]);
  const tasks = [
    { kind: 'step', input: { n: 1 } },
    { kind: 'step', input: { n: 2, fails: true } },
    { kind: 'sleep', input: { ms: 5 } },
    { kind: 'gather', input: { tasks: [{ kind: 'step', input: { n: 3 } }] } },
  ];
  await request('POST', '/tasks', { json: { kind: 'gather', input: { tasks } } });
  const done = await settled(app, 1);
  t.match(done, { state: 'succeeded', progress: { done: 4, total: 4 } });
  const { tasks: ends } = done.result as Gathered;
  t.match(ends, [
    { kind: 'step', state: 'succeeded', result: 10 },
    { kind: 'step', state: 'failed', error: { message: 'no 2' } },
    { kind: 'sleep', state: 'succeeded' },
    { kind: 'gather', state: 'succeeded', result: { tasks: [{ state: 'succeeded', result: 30 }] } },
  ]);
  t.strictSame(
    ends.map(({ id }) => id),
    [2, 3, 4, 5],
  );
  await request('POST', '/tasks', { json: { kind: 'gather', input: { tasks: [] } } });
  t.match(await settled(app, 7), { state: 'succeeded', result: { tasks: [] } }, 'of none');
});

onEachDatabase('a thousand at once, and gathers within gathers on a single slot', async (t, dialect) => {
  const step = stepKind();
  const { app, request } = await startTasks(t, dialect, [step.kind], { taskConcurrency: 1 });
  const half = { kind: 'gather', input: { tasks: steps(500) } };
  await request('POST', '/tasks', { json: { kind: 'gather', input: { tasks: [half, half] } } });
  const done = await settled(app, 1);
  t.equal(done.state, 'succeeded');
  t.equal(step.ran.length, 1000, 'each once');
  const [first] = (done.result as { tasks: { result: Gathered }[] }).tasks;
  t.strictSame(
    first?.result.tasks.map(({ result }) => result),
    Array.from({ length: 500 }, (_, n) => n * 10),
  );
});

onEachDatabase('with a concurrency no more of them are on their way', async (t, dialect) => {
  const step = stepKind();
  const { app, request } = await startTasks(t, dialect, [step.kind], { taskConcurrency: 20 });
  const input = { tasks: steps(12), concurrency: 2 };
  await request('POST', '/tasks', { json: { kind: 'gather', input } });
  t.match(await settled(app, 1), { state: 'succeeded' });
  t.equal(step.ran.length, 12);
  t.equal(step.most, 2);
});

onEachDatabase('with failFast the first that fails cancels the rest', async (t, dialect) => {
  const step = stepKind();
  const { app, request } = await startTasks(t, dialect, [step.kind], { taskConcurrency: 3 });
  const tasks = [...steps(6, { waits: true }), { kind: 'step', input: { n: 6, fails: true }, priority: 1 }];
  const bad = await request('POST', '/tasks', { json: { kind: 'gather', input: { tasks, failFast: true } } });
  t.equal(bad.status, 422, 'a child has no priority of its own');
  const order = [{ kind: 'step', input: { n: 6, fails: true } }, ...steps(6, { waits: true })];
  await request('POST', '/tasks', { json: { kind: 'gather', input: { tasks: order, failFast: true } } });
  const failed = await settled(app, 1);
  t.match(failed, {
    state: 'failed',
    error: { code: 'child-failed', message: 'Task 2 did not succeed: no 6' },
  });
  for (let id = 3; id <= 8; id++) t.match(await settled(app, id), { state: 'cancelled' });
});

onEachDatabase(
  'to cancel it is to cancel all below it; to retry it, what did not succeed',
  async (t, dialect) => {
    const step = stepKind();
    const { app, request } = await startTasks(t, dialect, [step.kind]);
    const inner = { kind: 'gather', input: { tasks: steps(1, { waits: true }) } };
    const tasks = [{ kind: 'step', input: { n: 7 } }, ...steps(1, { waits: true }), inner];
    await request('POST', '/tasks', { json: { kind: 'gather', input: { tasks } } });
    await settled(app, 5, ({ state }) => state === 'running');
    await settled(app, 2);
    await request('POST', '/tasks/1/cancel');
    for (const id of [1, 3, 4, 5]) t.match(await settled(app, id), { state: 'cancelled' });
    step.gate.resolve();
    await request('POST', '/tasks/1/retry');
    const done = await settled(app, 1);
    t.match(done, { state: 'succeeded', result: { tasks: [{ id: 2 }, { id: 3 }, { id: 4 }] } });
    t.equal(step.ran.filter((n) => n === 7).length, 1, 'what had succeeded did not run again');
  },
);

onEachDatabase('to retry it leaves alone what failed below one that succeeded', async (t, dialect) => {
  const step = stepKind();
  const { app, request } = await startTasks(t, dialect, [step.kind]);
  const inner = { kind: 'gather', input: { tasks: steps(1, { fails: true }) } };
  const tasks = [inner, ...steps(1, { waits: true })];
  await request('POST', '/tasks', { json: { kind: 'gather', input: { tasks } } });
  t.match(await settled(app, 2), { state: 'succeeded', result: { tasks: [{ id: 4, state: 'failed' }] } });
  await settled(app, 3, ({ state }) => state === 'running');
  await request('POST', '/tasks/1/cancel');
  for (const id of [1, 3]) t.match(await settled(app, id), { state: 'cancelled' });
  step.gate.resolve();
  await request('POST', '/tasks/1/retry');
  t.match(await settled(app, 1), { state: 'succeeded' });
  t.match(await app.tasks.watch.find(4), { state: 'failed', error: { message: 'no 0' } });
});

onEachDatabase('it cannot be retried before all below it are cancelled', async (t, dialect) => {
  const step = stepKind();
  const { app, request } = await startTasks(t, dialect, [step.kind]);
  const tasks = steps(2, { waits: true });
  await request('POST', '/tasks', { json: { kind: 'gather', input: { tasks, failFast: true } } });
  for (const id of [2, 3]) await settled(app, id, ({ state }) => state === 'running');
  // Another runner has it, which has not heard of the cancellation yet.
  await app.write(({ em }) => em.execute(`update tasks set runner = 'elsewhere' where id = 3`));
  await request('POST', '/tasks/1/cancel');
  t.match(await settled(app, 1), { state: 'cancelled' });
  const early = await request('POST', '/tasks/1/retry');
  t.match(early.json(), { status: 409, type: /task-not-finished/, detail: /Task 3 is running/ });
  await app.write(({ em }) =>
    em.execute(`update tasks set state = 'cancelled', finished_at = cancel_requested_at where id = 3`),
  );
  step.gate.resolve();
  t.equal((await request('POST', '/tasks/1/retry')).status, 202);
  t.match(await settled(app, 1), { state: 'succeeded' });
});

/** Has tasks be finished at a time long past; before the next day is what is kept long enough. */
const LONG_AGO = new Date('2020-01-01T00:00:00Z');
const SINCE = new Date('2020-01-02T00:00:00Z');
function age({ write }: FastifyInstance, which: string): Promise<unknown> {
  return write((tx) => {
    tx.changed();
    return tx.execute(`update tasks set finished_at = ? where ${which}`, [LONG_AGO]);
  });
}

onEachDatabase('as long as it can be retried, what it ran is kept', async (t, dialect) => {
  const step = stepKind();
  const { app, request } = await startTasks(t, dialect, [step.kind]);
  const inner = { kind: 'gather', input: { tasks: [...steps(1), ...steps(1, { waits: true })] } };
  await request('POST', '/tasks', { json: { kind: 'gather', input: { tasks: [...steps(1), inner] } } });
  await settled(app, 5, ({ state }) => state === 'running');
  for (const id of [2, 4]) await settled(app, id);
  await request('POST', '/tasks/1/cancel');
  for (const id of [1, 3, 5]) await settled(app, id);
  const prune = (most = 1000) => app.write((tx) => pruneTasks(tx.em, SINCE, most));
  await age(app, 'id in (2, 3, 4)');
  t.equal(await prune(), 0);
  step.gate.resolve();
  await request('POST', '/tasks/1/retry');
  const { result } = await settled(app, 1);
  t.match(result, {
    tasks: [
      { id: 2, state: 'succeeded' },
      { id: 3, result: { tasks: [{ id: 4 }, { id: 5 }] } },
    ],
  });
  await age(app, 'id <= 5');
  t.strictSame([await prune(), await prune(), await prune(), await prune()], [3, 1, 1, 0]);
});

onEachDatabase('it does not succeed when some of what it ran is not kept any more', async (t, dialect) => {
  const step = stepKind();
  const { app, request } = await startTasks(t, dialect, [step.kind]);
  const tasks = [...steps(2), ...steps(1, { waits: true })];
  await request('POST', '/tasks', { json: { kind: 'gather', input: { tasks } } });
  await settled(app, 4, ({ state }) => state === 'running');
  for (const id of [2, 3]) await settled(app, id);
  await request('POST', '/tasks/1/cancel');
  for (const id of [1, 4]) await settled(app, id);
  await age(app, 'id in (1, 2)');
  t.equal(await app.write((tx) => pruneTasks(tx.em, SINCE, 1)), 1);
  step.gate.resolve();
  await request('POST', '/tasks/1/retry');
  t.match(await settled(app, 1), { state: 'failed', error: { code: 'children-gone', message: /^1 of / } });
});

t.test('what is retried while it is pruned stays', async (t) => {
  const step = stepKind();
  const { app, request } = await startTasks(t, 'postgresql', [step.kind]);
  await request('POST', '/tasks', { json: { kind: 'step', input: { n: 1, waits: true } } });
  await request('POST', '/tasks/1/cancel');
  await settled(app, 1);
  await age(app, 'id = 1');
  const hold = Promise.withResolvers<void>();
  const retry = Promise.withResolvers<void>();
  const retried = app.write(async (tx) => {
    await retryTask(tx, 1);
    retry.resolve();
    await hold.promise;
  });
  await retry.promise;
  const em = app.orm.em.fork();
  await em.begin();
  const pruned = pruneTasks(em, SINCE, 1000);
  const waits = `select 1 from pg_stat_activity where wait_event_type = 'Lock' and query like 'delete from tasks%'`;
  while ((await app.reader.read(waits, [])).length === 0) await app.tasks.watch.next();
  hold.resolve();
  await retried;
  const many = await pruned;
  await em.commit();
  if (!t.equal(many, 0)) return;
  step.gate.resolve();
  t.match(await settled(app, 1), { state: 'succeeded' });
});

/** A gather that is to be cancelled, run by a process that has vanished, and a child that it begot after it was asked. */
async function orphaned({ write }: FastifyInstance, leaseUntil: Date): Promise<void> {
  await write(async (tx) => {
    tx.changed();
    await tx.execute(
      `insert into tasks (kind, state, priority, input, attempt, max_attempts, losses, runner, lease_until,
         cancel_requested_at, created_at) values ('gather', 'running', 0, '{"tasks":[]}', 1, 1, 0, 'gone', ?, ?, ?)`,
      [leaseUntil, LONG_AGO, LONG_AGO],
    );
    await tx.execute(
      `insert into tasks (kind, state, priority, input, attempt, max_attempts, losses, parent_id, place, created_at)
       values ('step', 'scheduled', 0, '{"n":1}', 0, 1, 0, 1, 0, ?)`,
      [LONG_AGO],
    );
  });
}

onEachDatabase(
  'what it begot after it was cancelled is cancelled with it, whoever ends it',
  async (t, dialect) => {
    const first = await startTasks(t, dialect, [stepKind().kind]);
    await orphaned(first.app, LONG_AGO);
    t.match(await settled(first.app, 1), { state: 'cancelled' }, 'its process has vanished');
    t.match(await first.app.tasks.watch.find(2), { state: 'cancelled' });

    const second = await startTasks(t, dialect, [stepKind().kind]);
    await orphaned(second.app, new Date('2999-01-01T00:00:00Z'));
    const outcome = { id: 1, attempt: 1, runner: 'gone', state: 'cancelled' };
    const run = { id: 1, kind: second.app.tasks.find('gather'), outcome } as Run;
    await settleApart(second.app.write, [run], () => {});
    t.match(await second.app.tasks.watch.find(2), { state: 'cancelled' }, 'its end was written by itself');
  },
);

onEachDatabase('one that is retried at the last moment is waited for', async (t, dialect) => {
  const step = stepKind();
  const { app, request } = await startTasks(t, dialect, [step.kind]);
  const { read } = app.reader;
  let isFirst = true;
  app.reader.read = async (sql, values) => {
    if (isFirst && sql.includes('order by place')) {
      isFirst = false;
      await app.write(async (tx) => {
        tx.changed();
        await tx.execute(`update tasks set kind = 'step', input = '{"n":4,"waits":true}' where id = 3`, []);
        await retryTask(tx, 3);
      });
    }
    return read(sql, values);
  };
  const tasks = [...steps(1), { kind: 'step', input: { n: 3, fails: true } }];
  await request('POST', '/tasks', { json: { kind: 'gather', input: { tasks } } });
  await settled(app, 3, ({ attempt, state }) => !isFirst && attempt === 1 && state === 'running');
  step.gate.resolve();
  const done = await settled(app, 1);
  t.match(done.result, { tasks: [{ state: 'succeeded' }, { state: 'succeeded', result: 40 }] });
});

onEachDatabase('many count their children together, and not all the time', async (t, dialect) => {
  const step = stepKind();
  const { app, request } = await startTasks(t, dialect, [step.kind]);
  const { read } = app.reader;
  const counts: { ids: unknown; began: number; ended: number }[] = [];
  app.reader.read = async (sql, values) => {
    if (!sql.includes('as held')) return read(sql, values);
    const began = performance.now();
    await wait(5);
    const rows = await read(sql, values);
    counts.push({ ids: values[0], began, ended: performance.now() });
    return rows as never;
  };
  const inner = { kind: 'gather', input: { tasks: steps(20) } };
  const tasks = Array.from({ length: 6 }, () => inner);
  await request('POST', '/tasks', { json: { kind: 'gather', input: { tasks } } });
  t.match(await settled(app, 1), { state: 'succeeded' });
  const most = Math.max(...counts.map(({ ids }) => (ids as number[]).length));
  t.ok(most >= 4, `${most} in one query`);
  for (const [n, { began }] of counts.entries()) {
    const before = counts[n - 1];
    if (before === undefined) continue;
    const pause = began - before.ended;
    t.ok(pause >= Math.min(9 * (before.ended - before.began), 990), `${pause} ms`);
  }
});

onEachDatabase('a database that is away for a while costs it no attempt', async (t, dialect) => {
  const step = stepKind();
  const { app, request } = await startTasks(t, dialect, [step.kind]);
  const { read } = app.reader;
  let failures = 0;
  app.reader.read = async (sql, values) => {
    const isOfGather = sql.includes('as held') || sql.includes('order by place');
    if (!isOfGather || failures === 8) return read(sql, values);
    void app.write(async (tx) => tx.ring(CHANGED));
    throw ++failures % 2 === 0
      ? new Unavailable('database-away', 'The database is away.')
      : new Error('Connection terminated unexpectedly');
  };
  await request('POST', '/tasks', { json: { kind: 'gather', input: { tasks: steps(3), concurrency: 1 } } });
  t.match(await settled(app, 1), { state: 'succeeded', attempt: 1 });
  t.equal(failures, 8);
  t.equal(step.ran.length, 3);
});

onEachDatabase('what a child says of a database fails a failFast gather all the same', async (t, dialect) => {
  const lost = defineTask({
    kind: 'lost',
    description: 'Loses a connection.',
    input: Type.Object({}),
    maxAttempts: 1,
    run: () => Promise.reject(new Error('Connection terminated unexpectedly')),
  });
  const { app, request } = await startTasks(t, dialect, [lost]);
  const input = { tasks: [{ kind: 'lost' }], failFast: true };
  await request('POST', '/tasks', { json: { kind: 'gather', input } });
  t.match(await settled(app, 1), { state: 'failed', error: { code: 'child-failed' } });
});

onEachDatabase(
  'a stop in the middle loses no child and runs none again that has settled',
  async (t, dialect) => {
    const databaseUrl = await emptyDatabase(t, dialect);
    const before = stepKind();
    const first = await startTasks(t, dialect, [before.kind], { databaseUrl, taskConcurrency: 4 });
    const tasks = [...steps(10), ...steps(4, { waits: true })];
    await first.request('POST', '/tasks', { json: { kind: 'gather', input: { tasks } } });
    await settled(first.app, 1, ({ progress }) => progress?.done === 10);
    await first.app.close();
    const after = stepKind();
    after.gate.resolve();
    const second = await startTasks(t, dialect, [after.kind], { databaseUrl });
    const done = await settled(second.app, 1);
    t.match(done, { state: 'succeeded', attempt: 1 });
    t.equal((done.result as Gathered).tasks.length, 14);
    t.equal(after.ran.length, 4, 'only those that had not settled');
  },
);

onEachDatabase(
  'a count of children that hung on a dead connection does not hold up the next',
  async (t, dialect) => {
    const { app, request } = await startTasks(t, dialect, [], { logLevel: 'silent' });
    const read = app.reader.read;
    let hung = 0;
    app.reader.read = async (sql, values) => {
      if (hung > 0 || !sql.includes('group by parent_id')) return read(sql, values);
      hung++;
      await wait(2000);
      throw new Error('Query read timeout');
    };
    await request('POST', '/tasks', {
      json: { kind: 'gather', input: { tasks: [{ kind: 'sleep', input: { ms: 1 } }] } },
    });
    const began = performance.now();
    t.match(await settled(app, 1), { state: 'succeeded', attempt: 1 });
    t.equal(hung, 1);
    const took = performance.now() - began;
    t.ok(took < 8000, `${took} ms`);
  },
);
