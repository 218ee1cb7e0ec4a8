import { execFile, execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { SETTINGS } from '../../../src/config.ts';
import { startPostgres } from '../../support/postgres.ts';
import { type Service, startService } from '../../support/service.ts';
import type { Outcome, Setting } from '../fault.ts';
import type { Load, Measured } from './generator.ts';

/** A service on a core of its own, and a generator, with the database's processes, on the other. */
export interface World {
  service: Service;
  port: number;
  /** Files that the service has open, its connections among them. */
  openFiles(): number;
  /** Connections that the kernel has dropped since this was made, because too many waited to be taken. */
  watchQueue(): () => number;
  /** Gives the part of the service's core that other processes have taken since it was called. */
  watchCore(): () => number;
  generate(load: Omit<Load, 'port' | 'seed'>): Promise<Measured>;
}

const GENERATOR = fileURLToPath(new URL('generator.ts', import.meta.url));
const [SERVICE_CORE, OTHER_CORE] = ['0', '1'];

/** Runs `work` with a fresh service, and removes all of it afterwards. */
export async function inWorld(
  { database, seed }: Setting,
  work: (world: World) => Promise<Outcome>,
  env: Record<string, string> = {},
): Promise<Outcome> {
  const ends: (() => unknown)[] = [];
  const arePinned = availableParallelism() > 1;
  const pin = (core: string, pid: number | undefined) => {
    if (arePinned) execFileSync('taskset', ['-acp', core, String(pid)], { stdio: 'ignore' });
  };
  pin(OTHER_CORE, process.pid);
  try {
    const folder = await mkdtemp(join(tmpdir(), 'muster-load-'));
    ends.push(() => rm(folder, { recursive: true, force: true }));
    let url = `sqlite:${join(folder, 'muster.db')}`;
    if (database === 'postgresql') {
      const server = await startPostgres();
      ends.push(() => server.stop());
      url = server.url('postgres');
    }
    const service = await startService(
      { teardown: (end) => void ends.push(end) },
      { DATABASE_URL: url, MAX_EVENT_LOOP_DELAY_MS: `${SETTINGS.MAX_EVENT_LOOP_DELAY_MS.default}`, ...env },
    );
    pin(SERVICE_CORE, service.process.pid);
    const port = Number(new URL(service.base).port);
    return await work({
      service,
      port,
      openFiles: () => readdirSync(`/proc/${service.process.pid}/fd`).length,
      watchQueue() {
        const before = queueOverflows();
        return () => queueOverflows() - before;
      },
      watchCore() {
        const before = coreTimes(service.process.pid);
        return () => {
          const { all, busy, own } = coreTimes(service.process.pid);
          const others = busy - before.busy - (own - before.own);
          return Math.max(0, others / (all - before.all));
        };
      },
      async generate(load) {
        const argument = JSON.stringify({ ...load, port, seed });
        const { stdout } = await promisify(execFile)(process.execPath, [GENERATOR, argument]);
        return JSON.parse(stdout);
      },
    });
  } finally {
    for (const end of ends.reverse()) await end();
  }
}

/** Ticks of the service's core, and those of the service itself: proc(5). */
function coreTimes(pid: number | undefined): { all: number; busy: number; own: number } {
  const [line = ''] = readFileSync('/proc/stat', 'utf8')
    .split('\n')
    .filter((one) => one.startsWith(`cpu${SERVICE_CORE} `));
  const ticks = line.split(/ +/).slice(1, 9).map(Number);
  const all = ticks.reduce((sum, one) => sum + one, 0);
  const [, rest = ''] = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ');
  const own = rest
    .split(' ')
    .slice(11, 13)
    .map(Number)
    .reduce((sum, one) => sum + one, 0);
  return { all, busy: all - (ticks[3] ?? 0) - (ticks[4] ?? 0), own };
}

/** Of this machine. */
function queueOverflows(): number {
  const [names = '', values = ''] = readFileSync('/proc/net/netstat', 'utf8').split('\n');
  return Number(values.split(' ')[names.split(' ').indexOf('ListenOverflows')]);
}
