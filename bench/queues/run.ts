import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { PostgresServer } from '../../test/support/postgres.ts';
import { requireDurable, startDurablePostgres } from '../database/postgresql.ts';
import { scratchFolder } from '../database/sqlite.ts';
import { onServerCore, takeMachine } from '../machine/cores.ts';
import { describeMachine } from '../machine/describe.ts';
import { durableWriteMicros } from '../machine/disk.ts';
import { FOREIGN_LIMIT } from '../measure.ts';
import type { DatabaseName } from '../options.ts';
import { BENCH, musterNodeOptions } from '../servers.ts';
import { readQueueOptions } from './options.ts';
import { MUSTER_QUEUE, QUEUES, type QueueEntry } from './queue.ts';
import { type Group, printQueues, type QueueReport, type TakenTurn, writeQueues } from './report.ts';
import type { Figures, Turn } from './turn.ts';

/** `npm run queues`: throughput and pick-up of an empty task, Muster's beside the well-known queues'. */
const TURN_LIMIT_MS = 600_000;
const MOST_TRIES = 3;

const options = readQueueOptions(process.argv.slice(2));
takeMachine();
const folder = await scratchFolder();
const postgres = options.databases.includes('postgresql') ? await startDurablePostgres() : undefined;
const groups: Group[] = [];
let databases = 0;
try {
  if (postgres) await requireDurable(postgres);
  for (const database of options.databases)
    for (const concurrency of options.concurrencies) groups.push(await measureGroup(database, concurrency));
} finally {
  await postgres?.stop();
}

const { rounds, tasks, pickUps } = options;
const packages = QUEUES.flatMap(({ packageName }) => packageName ?? []);
const report: QueueReport = {
  machine: await describeMachine([...packages, 'better-sqlite3', 'pg']),
  options: { rounds, tasks, pickUps },
  groups,
};
await mkdir(join(BENCH, 'results'), { recursive: true });
await writeFile(join(BENCH, `results/${options.out}.json`), `${JSON.stringify(report, undefined, 1)}\n`);
await writeFile(join(BENCH, `results/${options.out}.md`), writeQueues(report));
console.log(printQueues(report));
if (groups.some(({ failures }) => failures.length > 0)) process.exitCode = 1;

/** Every queue of this database, round by round, each turn on a new database. */
async function measureGroup(database: DatabaseName, concurrency: number): Promise<Group> {
  const queues = options.queues.filter(({ databases }) => databases.includes(database));
  const turns: TakenTurn[] = [];
  const failures: Group['failures'] = [];
  for (let round = 1; round <= options.rounds; round++) {
    using _lock = await takeLock();
    // Every other round backwards: what drifts with time then favours nobody.
    for (const queue of round % 2 === 1 ? queues : queues.toReversed()) {
      if (failures.some((failure) => failure.queue === queue.name)) continue;
      try {
        const figures = await takeTurnAlone(queue, database, concurrency);
        turns.push({ queue: queue.name, round, ...figures });
        const { enqueue, complete, both } = figures;
        const rates = [enqueue, complete, both].map(Math.round).join(', ');
        say(`${database}, ${concurrency} at once, round ${round}, ${queue.name}: ${rates} tasks/s`);
      } catch (error) {
        const problem = error instanceof Error ? error.message : String(error);
        failures.push({ queue: queue.name, problem });
        say(`${queue.name}: ${problem}`);
      }
    }
  }
  return { database, concurrency, turns, failures };
}

/** Again, while other processes took much of the queue's core; of all tries the one disturbed least counts. */
async function takeTurnAlone(queue: QueueEntry, database: DatabaseName, concurrency: number) {
  const tries: Omit<TakenTurn, 'queue' | 'round'>[] = [];
  while (tries.length < MOST_TRIES && tries.every(({ foreignShare }) => foreignShare > FOREIGN_LIMIT)) {
    const own = await newDatabase(database);
    try {
      const figures = await takeTurn(queue, { url: own.url, concurrency });
      tries.push({ ...figures, durableWriteMicros: durableWriteMicros(folder) });
    } finally {
      await own.remove();
    }
  }
  return tries.reduce((best, one) => (one.foreignShare < best.foreignShare ? one : best));
}

async function takeTurn(queue: QueueEntry, own: { url: string; concurrency: number }): Promise<Figures> {
  const { tasks, pickUps } = options;
  const turn: Turn = { file: queue.file, ...own, tasks, pickUps };
  const nodeOptions = queue.name === MUSTER_QUEUE ? musterNodeOptions() : [];
  const command = [process.execPath, ...nodeOptions, 'queues/turn.ts', JSON.stringify(turn)];
  const [program, args] = onServerCore(command);
  const { stdout } = await promisify(execFile)(program, args, {
    cwd: BENCH,
    env: { ...process.env, NODE_ENV: 'production' },
    timeout: TURN_LIMIT_MS,
  });
  return JSON.parse(stdout);
}

/** Holds the lock, if there is one to be taken, for a round: between two rounds others may measure. */
async function takeLock(): Promise<Disposable> {
  if (options.lock === undefined) return { [Symbol.dispose]() {} };
  const holder = spawn('flock', [options.lock, 'sh', '-c', 'echo taken; cat'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  await once(holder.stdout, 'data');
  return { [Symbol.dispose]: () => void holder.stdin.end() };
}

async function newDatabase(database: DatabaseName): Promise<{ url: string; remove(): Promise<void> }> {
  const name = `queue_${++databases}`;
  if (database === 'sqlite') return { url: `sqlite:${join(folder, name)}.db`, remove: async () => {} };
  const server: PostgresServer | undefined = postgres;
  if (server === undefined) throw new Error('PostgreSQL was not started');
  await server.query(`create database ${name}`);
  await server.query('checkpoint');
  return {
    url: server.url(name),
    remove: async () => void (await server.query(`drop database ${name} with (force)`)),
  };
}

function say(line: string): void {
  process.stderr.write(`${line}\n`);
}
