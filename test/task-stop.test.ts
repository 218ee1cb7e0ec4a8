import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setImmediate as nextTurn, setTimeout as wait } from 'node:timers/promises';
import type { FastifyInstance } from 'fastify';
import t from 'tap';
import { Unavailable } from '../src/errors.ts';
import { valueChecker } from '../src/http/validation.ts';
import { kindSchemas } from '../src/tasks/kind-schemas.ts';
import { defineTask } from '../src/tasks/kinds.ts';
import { TaskQueue } from '../src/tasks/queue.ts';
import { TaskRunner } from '../src/tasks/runner.ts';
import { emptyDatabase } from './support/databases.ts';
import { temporaryFolder } from './support/owner.ts';
import { endedTask, postTask, startTaskService } from './support/task-client.ts';
import { startTasks } from './support/tasks.ts';

t.test('a runner that was stopped for 30 s writes nothing for a task that another has taken', async (t) => {
  const databaseUrl = await emptyDatabase(t, 'postgresql');
  const journal = join(await temporaryFolder(t), 'journal');
  const env = { DATABASE_URL: databaseUrl, LOG_LEVEL: 'info', JOURNAL: journal };
  const first = await startTaskService(t, env);
  await postTask(first, { kind: 'innocent', input: { ms: 20_000 } });
  while ((await readFile(journal, 'utf8').catch(() => '')) === '') await wait(10);
  first.process.kill('SIGSTOP');
  const stoppedAt = performance.now();
  const second = await startTaskService(t, env);
  const stoppedMs = () => performance.now() - stoppedAt;
  while ((await readFile(journal, 'utf8')) === 'innocent 1\n' && stoppedMs() < 120_000) await wait(10);
  await wait(30_000 - stoppedMs());
  t.match(await readFile(journal, 'utf8'), 'innocent 1\ninnocent 2\n', 'another has taken it');
  first.process.kill('SIGCONT');
  await first.said(/was taken by another|The lease is lost|lease is lost/);
  const task = await endedTask(second, 1);
  t.match(task, { state: 'succeeded', attempt: 2 });
  const tookMs = Date.parse(String(task.finishedAt)) - Date.parse(String(task.startedAt));
  t.ok(tookMs >= 20_000, `it ended when the second run did, ${tookMs} ms after that began`);
  t.equal(await first.end('SIGTERM'), 0, 'the first goes on, and ends in order');
});

t.test('what was claimed by a commit that seemed to fail is given back at the end', async (t) => {
  const { app } = await startTasks(t, 'sqlite', []);
  const started = Promise.withResolvers<void>();
  const end = Promise.withResolvers<void>();
  const stopped = Promise.withResolvers<void>();
  let isClaiming = false;
  const write: FastifyInstance['write'] = async (work) => {
    const value = await app.write(work);
    if (!isClaiming) return value;
    isClaiming = false;
    runner.stop().then(stopped.resolve);
    throw new Unavailable('commit-failed', 'It did commit.');
  };
  let isLost = false;
  const { queue, runner } = runnerApart(app, 'stubborn', {
    run: () => {
      started.resolve();
      return end.promise;
    },
    write,
    reached(step) {
      if (step === 'claiming') isClaiming = isLost;
    },
  });
  runner.start();
  const enqueue = () => app.write((tx) => queue.enqueue(tx, queue.find('stubborn'), {}));
  const lost = await enqueue();
  await started.promise;
  await app.write((tx) => tx.execute(`update tasks set runner = 'elsewhere' where id = ?`, [lost.id]));
  isLost = true;
  const stray = await enqueue();
  await stopped.promise;
  end.resolve();
  t.match(await app.tasks.watch.find(stray.id), { state: 'queued', attempt: 0 });
});

t.test('a runner has stopped as soon as all that ran is handed back', async (t) => {
  const { app } = await startTasks(t, 'sqlite', []);
  const started = Promise.withResolvers<void>();
  const settled = Promise.withResolvers<void>();
  const { queue, runner } = runnerApart(app, 'obedient', {
    run: (signal) => {
      started.resolve();
      return wait(60_000, undefined, { signal });
    },
    reached(step) {
      if (step === 'settled') settled.resolve();
    },
  });
  runner.start();
  const { id } = await app.write((tx) => queue.enqueue(tx, queue.find('obedient'), {}));
  await started.promise;
  let hasStopped = false;
  runner.stop().then(() => {
    hasStopped = true;
  });
  await settled.promise;
  for (let turn = 0; turn < 3; turn++) await nextTurn();
  t.ok(hasStopped, 'it waits for nothing else');
  t.match(await app.tasks.watch.find(id), { state: 'queued', attempt: 0 });
});

/** A runner, not yet started, of a kind that the app itself does not know, and so does not run. */
function runnerApart(
  app: FastifyInstance,
  kind: string,
  {
    run,
    write = app.write,
    reached,
  }: {
    run(signal: AbortSignal): Promise<unknown>;
    write?: FastifyInstance['write'];
    reached(step: string): void;
  },
) {
  const own = defineTask({
    kind,
    description: 'Only here.',
    input: { type: 'object' },
    run: ({ signal }) => run(signal),
  });
  const checker = valueChecker({}, kindSchemas([own]));
  const { reader, bell, log, tasks } = app;
  const queue = new TaskQueue([own], checker, { reader, watch: tasks.watch, tracing: undefined });
  const runner = new TaskRunner({
    queue,
    write,
    bell,
    log,
    concurrency: 2,
    graceMs: 10_000,
    ended() {},
    reached,
  });
  return { queue, runner };
}
