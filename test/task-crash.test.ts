import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { emptyDatabase, onEachDatabase } from './support/databases.ts';
import { fetch } from './support/fetch.ts';
import { temporaryFolder } from './support/owner.ts';
import type { Service } from './support/service.ts';
import { endedTask, postTask, startTaskService, type Task } from './support/task-client.ts';

const STEPS = ['claiming', 'claimed', 'started', 'saving', 'saved', 'finished', 'settling', 'settled'];

async function names({ base }: Service): Promise<string[]> {
  const users = (await (await fetch(`${base}/users?sort=name`)).json()) as { name: string }[];
  return users.map(({ name }) => name);
}

onEachDatabase(
  'after kill -9 at any step a task runs again, and its saved work only once',
  async (t, dialect) => {
    let least = Infinity;
    const rounds = STEPS.map(async (step) => {
      const databaseUrl = await emptyDatabase(t, dialect);
      const journal = join(await temporaryFolder(t), 'journal');
      const env = { DATABASE_URL: databaseUrl, LOG_LEVEL: 'info' };
      const doomed = await startTaskService(t, { ...env, KILL_AT: step, JOURNAL: journal });
      // The answer may be lost with the process.
      await postTask(doomed, { kind: 'steps', input: { name: 'Ada' } }).catch(() => {});
      t.equal(await doomed.ended, 'SIGKILL', step);
      const service = await startTaskService(t, { ...env, JOURNAL: journal });
      const startedAt = performance.now();
      const task = await endedTask(service, 1);
      const now = performance.now();
      t.equal(task.state, 'succeeded', step);
      // A claim that was not committed is no attempt, and what had settled is not run again.
      t.equal(task.attempt, ['claiming', 'settled'].includes(step) ? 1 : 2, `${step}: the attempts`);
      t.strictSame(await names(service), ['Ada 0', 'Ada 1', 'Ada 2'], `${step}: each step was done once`);
      const took = now - startedAt;
      // On SQLite, where nobody else is there, no lease is waited for: most of its 15 s would be left.
      t.ok(took < (dialect === 'sqlite' ? 5000 : 20_000), `${step}: ${took} ms after the start`);
      if (task.attempt === 2) least = Math.min(least, took);
      await service.end('SIGKILL');
      const runs = (await readFile(journal, 'utf8').catch(() => '')).trim().split('\n');
      const once = { claiming: 'steps 1', claimed: 'steps 2', started: 'steps 2', settled: 'steps 1' }[step];
      t.strictSame(runs, once === undefined ? ['steps 1', 'steps 2'] : [once], `${step}: the runs`);
    });
    await Promise.all(rounds);
    if (dialect === 'sqlite') t.ok(least < 1000, `${least} ms after the start at least`);
  },
);

onEachDatabase(
  'a task that kills its process three times is parked, and takes nobody down with it',
  async (t, dialect) => {
    const databaseUrl = await emptyDatabase(t, dialect);
    const journal = join(await temporaryFolder(t), 'journal');
    const env = { DATABASE_URL: databaseUrl, LOG_LEVEL: 'info', JOURNAL: journal };
    let service = await startTaskService(t, env);
    for (let n = 0; n < 3; n++) await postTask(service, { kind: 'innocent', input: { ms: 1000 } });
    await postTask(service, { kind: 'fatal' }).catch(() => {});
    for (let deaths = 1; deaths <= 3; deaths++) {
      t.equal(await service.ended, 'SIGKILL');
      service = await startTaskService(t, env);
    }
    t.match(await endedTask(service, 4), { state: 'failed', attempt: 3, error: { code: 'process-lost' } });
    for (let id = 1; id <= 3; id++) t.match(await endedTask(service, id), { state: 'succeeded' });
  },
);

const CHILDREN = 200;
/** On PostgreSQL the leases of a dead process last for a while. */
const KILLS = { sqlite: 3, postgresql: 1 };

onEachDatabase(
  'kill -9 in the middle of a gather loses no child, and runs none again that has settled',
  async (t, dialect) => {
    const journal = join(await temporaryFolder(t), 'journal');
    const env = { DATABASE_URL: await emptyDatabase(t, dialect), LOG_LEVEL: 'info', JOURNAL: journal };
    let service = await startTaskService(t, env);
    const named = Array.from({ length: CHILDREN }, (_, at) => `child-${at}`);
    // Those of the second fifth wait for the first kill, and so on: each finds the gather in its middle.
    const gate = (kill: number) => `${journal}-${kill}`;
    const kills = KILLS[dialect];
    await writeFile(gate(0), '');
    const tasks = named.map((name, at) => {
      const after = gate(Math.min(Math.floor((at * 5) / CHILDREN), kills));
      return { kind: 'innocent', input: { ms: 20, name, after } };
    });
    const { id } = await postTask(service, { kind: 'gather', input: { tasks } });
    const settled = new Map<number, number>();
    for (let kill = 1; kill <= kills; kill++) {
      while (settled.size < (CHILDREN * (kill - 0.5)) / 5) {
        await wait(10);
        const done = await fetch(`${service.base}/tasks?kind=innocent&state=succeeded&limit=1000`);
        for (const child of (await done.json()) as Task[]) settled.set(child.id, child.attempt);
      }
      await service.end('SIGKILL');
      await writeFile(gate(kill), '');
      service = await startTaskService(t, env);
    }
    const gathered = (await endedTask(service, id)) as unknown as {
      state: string;
      result: { tasks: { id: number; state: string }[] };
    };
    t.equal(gathered.state, 'succeeded');
    t.strictSame(
      gathered.result.tasks.map(({ state }) => state),
      named.map(() => 'succeeded'),
    );
    const runs = (await readFile(journal, 'utf8')).trim().split('\n');
    for (const [at, child] of gathered.result.tasks.entries()) {
      const attempts = runs.flatMap((line) => {
        const [name, attempt] = line.split(' ');
        return name === named[at] ? Number(attempt) : [];
      });
      t.ok(attempts.length > 0, `${named[at]} ran, and stands at its place`);
      const last = settled.get(child.id);
      if (last !== undefined) t.equal(Math.max(...attempts), last, `${named[at]} had settled before a kill`);
    }
    t.ok(settled.size < CHILDREN, 'and not all');
  },
);
