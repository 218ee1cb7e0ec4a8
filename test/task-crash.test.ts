import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { emptyDatabase, onEachDatabase, temporaryFolder } from './support/databases.ts';
import { fetch } from './support/fetch.ts';
import { type Service, startService } from './support/service.ts';

/** They wait for leases to end, most of the time: side by side. */
t.jobs = 5;
const aside = { buffered: true };

const SCRIPT = 'test/support/task-service.ts';
const STEPS = ['claiming', 'claimed', 'started', 'saving', 'saved', 'finished', 'settling', 'settled'];

interface Task {
  id: number;
  state: string;
  attempt: number;
  error?: { code?: string };
}

const serve = (test: Test, env: Record<string, string>) => startService(test, env, SCRIPT);

async function post({ base }: Service, json: unknown): Promise<Task> {
  const response = await fetch(`${base}/tasks`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(json),
  });
  return (await response.json()) as Task;
}

async function ended({ base }: Service, id: number): Promise<Task> {
  const response = await fetch(`${base}/tasks/${id}`, { headers: { prefer: 'wait=60' } });
  return (await response.json()) as Task;
}

async function names({ base }: Service): Promise<string[]> {
  const users = (await (await fetch(`${base}/users?sort=name`)).json()) as { name: string }[];
  return users.map(({ name }) => name);
}

onEachDatabase(
  'after kill -9 at any step a task runs again, and its saved work only once',
  async (t, dialect) => {
    const rounds = STEPS.map(async (step) => {
      const databaseUrl = await emptyDatabase(t, dialect);
      const journal = join(await temporaryFolder(t), 'journal');
      const env = { DATABASE_URL: databaseUrl, LOG_LEVEL: 'info' };
      const doomed = await serve(t, { ...env, KILL_AT: step, JOURNAL: journal });
      // The answer may be lost with the process.
      await post(doomed, { kind: 'steps', input: { name: 'Ada' } }).catch(() => {});
      t.equal(await doomed.ended, 'SIGKILL', step);
      const killedAt = performance.now();
      const service = await serve(t, { ...env, JOURNAL: journal });
      const startedAt = performance.now();
      const task = await ended(service, 1);
      const now = performance.now();
      t.equal(task.state, 'succeeded', step);
      // A claim that was not committed is no attempt, and what had settled is not run again.
      t.equal(task.attempt, ['claiming', 'settled'].includes(step) ? 1 : 2, `${step}: the attempts`);
      t.strictSame(await names(service), ['Ada 0', 'Ada 1', 'Ada 2'], `${step}: each step was done once`);
      if (dialect === 'sqlite')
        t.ok(now - startedAt < 1000, `${step}: ${now - startedAt} ms after the start`);
      else t.ok(now - killedAt < 20_000, `${step}: ${now - killedAt} ms after the kill`);
      await service.end('SIGKILL');
      const runs = (await readFile(journal, 'utf8').catch(() => '')).trim().split('\n');
      const once = { claiming: 'steps 1', claimed: 'steps 2', started: 'steps 2', settled: 'steps 1' }[step];
      t.strictSame(runs, once === undefined ? ['steps 1', 'steps 2'] : [once], `${step}: the runs`);
    });
    await Promise.all(rounds);
  },
);

onEachDatabase(
  'a task that kills its process three times is parked, and takes nobody down with it',
  async (t, dialect) => {
    const databaseUrl = await emptyDatabase(t, dialect);
    const journal = join(await temporaryFolder(t), 'journal');
    const env = { DATABASE_URL: databaseUrl, LOG_LEVEL: 'info', JOURNAL: journal };
    let service = await serve(t, env);
    for (let n = 0; n < 3; n++) await post(service, { kind: 'innocent', input: { ms: 1000 } });
    await post(service, { kind: 'fatal' }).catch(() => {});
    for (let deaths = 1; deaths <= 3; deaths++) {
      t.equal(await service.ended, 'SIGKILL');
      service = await serve(t, env);
    }
    t.match(await ended(service, 4), { state: 'failed', attempt: 3, error: { code: 'process-lost' } });
    for (let id = 1; id <= 3; id++) t.match(await ended(service, id), { state: 'succeeded' });
  },
  aside,
);

t.test(
  'a runner that was stopped for 30 s writes nothing for a task that another has taken',
  aside,
  async (t) => {
    const databaseUrl = await emptyDatabase(t, 'postgresql');
    const journal = join(await temporaryFolder(t), 'journal');
    const env = { DATABASE_URL: databaseUrl, LOG_LEVEL: 'info', JOURNAL: journal };
    const first = await serve(t, env);
    await post(first, { kind: 'innocent', input: { ms: 20_000 } });
    while ((await readFile(journal, 'utf8').catch(() => '')) === '') await wait(10);
    first.process.kill('SIGSTOP');
    const second = await serve(t, env);
    const stopped = performance.now();
    await wait(30_000);
    t.match(await readFile(journal, 'utf8'), 'innocent 1\ninnocent 2\n', 'another has taken it');
    first.process.kill('SIGCONT');
    await first.said(/was taken by another|The lease is lost|lease is lost/);
    const task = await ended(second, 1);
    t.match(task, { state: 'succeeded', attempt: 2 });
    t.ok(performance.now() - stopped > 34_000, 'it ended when the second run did');
    t.equal(await first.end('SIGTERM'), 0, 'the first goes on, and ends in order');
  },
);
