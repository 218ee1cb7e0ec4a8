import { Type } from 'typebox';
import { defineTask, PermanentFailure } from '../src/tasks/kinds.ts';
import { startApp } from './support/app.ts';
import { onEachDatabase } from './support/databases.ts';
import { tookAtMost } from './support/in-time.ts';
import { settled, startTasks } from './support/tasks.ts';

const Empty = Type.Object({}, { additionalProperties: true });

/** A kind that does nothing but what the test says. */
function kind(run: Parameters<typeof defineTask<typeof Empty>>[0]['run'], more = {}) {
  return defineTask({ kind: 'work', description: 'Works.', input: Empty, run, ...more });
}

onEachDatabase('a task runs, and its result is kept', async (t, dialect) => {
  const double = defineTask({
    kind: 'double',
    description: 'Doubles.',
    input: Type.Object({ n: Type.Integer() }),
    run: async ({ input }) => ({ n: input.n * 2 }),
  });
  const { app } = await startApp(t, dialect, {}, { kinds: [double] });
  const task = await app.write((tx) => app.tasks.enqueue(tx, double, { n: 21 }));
  t.match(task, { id: 1, kind: 'double', state: 'queued', attempt: 0, input: { n: 21 } });
  const done = await settled(app, task.id);
  t.match(done, { state: 'succeeded', result: { n: 42 }, attempt: 1 });
  t.ok(done.finishedAt && done.startedAt && done.finishedAt >= done.startedAt);
  t.equal(done.error, undefined);
});

onEachDatabase('an idle service starts a task within 50 ms, when the bell rings', async (t, dialect) => {
  const started: number[] = [];
  const work = kind(async () => void started.push(performance.now()));
  const { app } = await startApp(t, dialect, {}, { kinds: [work] });
  const took: number[] = [];
  const median = () => took.slice(-10).sort((a, b) => a - b)[5] ?? Infinity;
  for (const end = performance.now() + 60_000; median() >= 50 && performance.now() < end; ) {
    const at = performance.now();
    const task = await app.write((tx) => app.tasks.enqueue(tx, work, {}));
    await settled(app, task.id);
    took.push((started.at(-1) ?? Infinity) - at);
  }
  // It looks once a second; a few milliseconds are usual (`npm run queues` in bench/).
  t.ok(median() < 50, `the median of the last ten is ${median()} ms`);
});

onEachDatabase(
  'a task is there if, and only if, the transaction that enqueues it commits',
  async (t, dialect) => {
    const work = kind(async () => 'done');
    const { app } = await startApp(t, dialect, {}, { kinds: [work] });
    await t.rejects(
      app.write(async (tx) => {
        await app.tasks.enqueue(tx, work, {});
        throw new Error('after all, no');
      }),
    );
    t.strictSame(await app.reader.read('select id from tasks', []), []);
    await t.rejects(
      app.write((tx) => app.tasks.enqueue(tx, 'nothing', {})),
      { code: 'invalid-body', faults: [{ pointer: '#/kind' }] },
    );
  },
);

onEachDatabase('those of higher priority go first, then the older', async (t, dialect) => {
  const order: unknown[] = [];
  const work = kind(async ({ input }) => void order.push(input));
  const { app } = await startTasks(t, dialect, [work], { taskConcurrency: 1 });
  const tasks = await app.write(async (tx) => {
    const all = [];
    for (const [n, priority] of [0, 5, -5, 5, 0].entries()) {
      all.push(await app.tasks.enqueue(tx, work, { n }, { priority }));
    }
    return all;
  });
  for (const { id } of tasks) await settled(app, id);
  t.strictSame(order, [{ n: 1 }, { n: 3 }, { n: 0 }, { n: 4 }, { n: 2 }]);
});

onEachDatabase('no more run at once than the service and their kind allow', async (t, dialect) => {
  const now = { many: 0, few: 0 };
  const most = { many: 0, few: 0, all: 0 };
  const counting = (name: 'many' | 'few', more: object) =>
    defineTask({
      kind: name,
      description: 'Counts.',
      input: Empty,
      async run({ signal }) {
        now[name]++;
        most[name] = Math.max(most[name], now[name]);
        most.all = Math.max(most.all, now.many + now.few);
        await new Promise((resolve) => setTimeout(resolve, 5));
        signal.throwIfAborted();
        now[name]--;
      },
      ...more,
    });
  const many = counting('many', {});
  const few = counting('few', { concurrency: 2 });
  const { app } = await startTasks(t, dialect, [many, few], { taskConcurrency: 6 });
  const tasks = await Promise.all(
    Array.from({ length: 40 }, (_, n) =>
      app.write((tx) => app.tasks.enqueue(tx, n % 2 === 0 ? many : few, {})),
    ),
  );
  for (const { id } of tasks) t.match(await settled(app, id), { state: 'succeeded' });
  t.strictSame(most, { many: most.many, few: 2, all: 6 });
});

onEachDatabase(
  'a failure is tried again after a pause, until the attempts are used up',
  async (t, dialect) => {
    const work = kind(async ({ attempt }) => {
      throw new Error(`attempt ${attempt}`);
    });
    const { app } = await startApp(t, dialect, {}, { kinds: [work] });
    const task = await app.write((tx) => app.tasks.enqueue(tx, work, {}, { maxAttempts: 2 }));
    const waiting = await settled(app, task.id, ({ state }) => state === 'scheduled');
    t.match(waiting, { attempt: 1, error: { message: 'attempt 1' } });
    const runAt = Number(waiting.runAt);
    const [sinceStart, fromNow] = [runAt - Number(waiting.startedAt), runAt - Date.now()];
    t.ok(sinceStart >= 800 && fromNow <= 1200, `${sinceStart} ms after its start, ${fromNow} ms from now`);
    const failed = await settled(app, task.id);
    t.match(failed, { state: 'failed', attempt: 2, error: { message: 'attempt 2' } });
  },
);

onEachDatabase(
  'a failure for good, and a result that cannot be kept, are not tried again',
  async (t, dialect) => {
    const ends: Record<string, () => unknown> = {
      refused: () => {
        throw new PermanentFailure('It makes no sense.', 'senseless');
      },
      'result-too-large': () => 'x'.repeat(1_100_000),
      'result-not-json': () => 1n,
    };
    const work = kind(async ({ input }) => ends[String(Object.values(input)[0])]?.());
    const { app } = await startApp(t, dialect, {}, { kinds: [work] });
    for (const [name, code] of [
      ['refused', 'senseless'],
      ['result-too-large', 'result-too-large'],
      ['result-not-json', 'result-not-json'],
    ]) {
      const task = await app.write((tx) => app.tasks.enqueue(tx, work, { name }));
      t.match(await settled(app, task.id), { state: 'failed', attempt: 1, error: { code } });
    }
  },
);

onEachDatabase('one that takes too long is told so, and can write nothing any more', async (t, dialect) => {
  const late = Promise.withResolvers<unknown>();
  const work = kind(
    async ({ signal, save, attempt }) => {
      await new Promise((resolve) => signal.addEventListener('abort', resolve));
      await save(async () => ({ attempt })).catch(late.resolve);
      return 'too late';
    },
    { timeoutMs: 50, maxAttempts: 1 },
  );
  const { app } = await startApp(t, dialect, {}, { kinds: [work] });
  const task = await app.write((tx) => app.tasks.enqueue(tx, work, {}));
  t.match(await settled(app, task.id), { state: 'failed', error: { message: /longer than 50 ms/ } });
  t.match(await late.promise, { code: 'lease-lost' });
  t.strictSame((await app.tasks.watch.find(task.id))?.result, undefined);
});

onEachDatabase('work and its checkpoint are kept together, or neither', async (t, dialect) => {
  const seen: unknown[] = [];
  const work = kind(async ({ checkpoint, save, attempt }) => {
    seen.push(checkpoint);
    await save(async (tx) => {
      await tx.em.execute('update instance set created_at = created_at');
      return { step: attempt };
    });
    if (attempt === 1) {
      await save(async () => {
        throw new Error('half way');
      });
    }
    return 'done';
  });
  const { app } = await startApp(t, dialect, {}, { kinds: [work] });
  const task = await app.write((tx) => app.tasks.enqueue(tx, work, {}));
  t.match(await settled(app, task.id), { state: 'succeeded', attempt: 2 });
  t.strictSame(seen, [undefined, { step: 1 }]);
});

onEachDatabase('a second task with the same key is the first, until that has ended', async (t, dialect) => {
  const go = Promise.withResolvers<void>();
  const work = kind(() => go.promise);
  const { app } = await startApp(t, dialect, {}, { kinds: [work] });
  const enqueue = (dedupeKey: string) => app.write((tx) => app.tasks.enqueue(tx, work, {}, { dedupeKey }));
  const [a, b, c, other] = await Promise.all([enqueue('k'), enqueue('k'), enqueue('k'), enqueue('z')]);
  t.equal(a?.id, b?.id);
  t.equal(a?.id, c?.id);
  t.not(a?.id, other?.id);
  t.equal((await enqueue('k')).id, a?.id);
  go.resolve();
  await settled(app, a?.id ?? 0);
  t.not((await enqueue('k')).id, a?.id);
});

onEachDatabase('a task for later starts on time', async (t, dialect) => {
  let startedAt = 0;
  const work = kind(async () => {
    startedAt = Date.now();
  });
  const { app } = await startApp(t, dialect, {}, { kinds: [work] });
  const enqueue = (inMs: number) => {
    const runAt = new Date(Date.now() + inMs);
    return app.write((tx) => app.tasks.enqueue(tx, work, {}, { runAt }));
  };
  t.equal((await enqueue(3_600_000)).state, 'scheduled');
  const late = await tookAtMost(150, async () => {
    const { id, runAt } = await enqueue(400);
    await settled(app, id);
    const lateMs = startedAt - Number(runAt);
    t.ok(lateMs >= -5, 'not earlier');
    return lateMs;
  });
  t.ok(late < 150, `${late} ms late`);
});

onEachDatabase('progress can be read while it runs, and stays', async (t, dialect) => {
  const go = Promise.withResolvers<void>();
  const work = kind(async ({ progress }) => {
    progress(1, 4);
    progress(2, 4);
    await go.promise;
    progress(4, 4);
  });
  const { app } = await startApp(t, dialect, {}, { kinds: [work] });
  const task = await app.write((tx) => app.tasks.enqueue(tx, work, {}));
  const half = await settled(app, task.id, ({ progress }) => progress !== undefined);
  t.match(half, { state: 'running', progress: { done: 2, total: 4 } });
  go.resolve();
  t.match(await settled(app, task.id), { state: 'succeeded', progress: { done: 4, total: 4 } });
});
