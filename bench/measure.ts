import { execFile } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { CREATED_BY_CHECK, checkServer } from './check.ts';
import type { Copy } from './database/seed.ts';
import { DATA } from './database/sqlite.ts';
import { findLastPage } from './last-page.ts';
import type { Load, Measurement } from './load/generator.ts';
import { durableWriteMicros } from './machine/disk.ts';
import { type ServerProcess, startServer } from './machine/server-process.ts';
import type { Options } from './options.ts';
import { BENCH, does, HAND_WRITTEN, MUSTER, type Server } from './servers.ts';
import { WORKS, type WorkName } from './works.ts';

const run = promisify(execFile);
const IDLE_SECONDS = 1;

/** One server in one round: what it did in each work at its highest load, and where it is compared, at a fixed one. */
export interface Turn {
  server: string;
  startMs: number;
  idleBytes: number;
  /** One small durable write, just before the server started (µs). */
  durableWriteMicros: number;
  highest: Partial<Record<WorkName, Measurement>>;
  rated: Partial<Record<WorkName, Measurement & { rate: number }>>;
}

/** What the server serves from: so many users, a tag for the emails of new ones, and where the database runs. */
export interface Directory {
  users: number;
  tag: string;
  besideDatabase: boolean;
}

/** Requests a second at which two servers are compared: half of what the hand-written one does at its best. */
export type Rates = Map<WorkName, number>;

export async function takeTurn(
  server: Server,
  copy: Copy | undefined,
  { users, tag }: Omit<Directory, 'besideDatabase'>,
  options: Options,
  rates: Rates,
): Promise<Turn> {
  const env = { ...server.env, ...(copy && { DATABASE_URL: copy.url }) };
  const durableMicros = durableWriteMicros(DATA);
  const started = await startServer(server.command, env, { cwd: server.cwd });
  try {
    await sleep(IDLE_SECONDS * 1000);
    const turn: Turn = {
      server: server.name,
      startMs: started.startMs,
      idleBytes: started.idleBytes(),
      durableWriteMicros: durableMicros,
      highest: {},
      rated: {},
    };
    await checkServer(server, started.port);
    const directory = { users, tag, besideDatabase: copy?.url.startsWith('postgresql:') ?? false };
    await warmUp(await loadOf('lookup', started, directory, options));
    for (const work of options.works) {
      if (!does(server, work)) continue;
      const load = await loadOf(work, started, directory, options);
      const highest = await generateAlone(load);
      turn.highest[work] = highest;
      if (!WORKS[work].ratedBeside || ![HAND_WRITTEN, MUSTER].includes(server.name)) continue;
      const rate = rates.get(work) ?? Math.round(highest.throughput / 2);
      rates.set(work, rate);
      turn.rated[work] = { ...(await generateAlone({ ...load, rate })), rate };
    }
    return turn;
  } finally {
    await started.stop();
  }
}

export async function loadOf(
  work: WorkName,
  { pid, port }: ServerProcess,
  { users, tag, besideDatabase }: Directory,
  { connections, seconds, warmUpSeconds }: Options,
): Promise<Load> {
  return {
    work: {
      name: work,
      port,
      users,
      tag: `${tag}.${work}`,
      ...(work === 'list-last' && { lastPage: await findLastPage(port, users + CREATED_BY_CHECK) }),
    },
    connections,
    warmUpMs: warmUpSeconds * 1000,
    windowMs: seconds * 1000,
    besideDatabase,
    pid,
  };
}

/** Before the first window a server has compiled nothing yet, and its database has read nothing. */
async function warmUp(load: Load): Promise<void> {
  await generate({ ...load, warmUpMs: 0, windowMs: load.warmUpMs * 2 });
}

/**
 * Measures, and measures again while other processes took much of the server's core: on a machine that does nothing
 * else it never happens. Of all tries the one that was disturbed least counts, whatever it says.
 */
async function generateAlone(load: Load): Promise<Measurement> {
  const tries: Measurement[] = [];
  while (tries.length < MOST_TRIES && tries.every(({ foreignShare }) => foreignShare > FOREIGN_LIMIT)) {
    const tag = `${load.work.tag}.${load.rate ?? 'highest'}.${tries.length}`;
    tries.push(await generate({ ...load, work: { ...load.work, tag } }));
  }
  return tries.reduce((best, one) => (one.foreignShare < best.foreignShare ? one : best));
}

/** Above this part of its core taken by others, a server was not alone. */
export const FOREIGN_LIMIT = 0.1;
const MOST_TRIES = 3;

export async function generate(load: Load): Promise<Measurement> {
  const timeout = load.warmUpMs + load.windowMs + 30_000;
  const { stdout } = await run(process.execPath, ['load/generator.ts', JSON.stringify(load)], {
    cwd: BENCH,
    timeout,
  });
  return JSON.parse(stdout);
}
