import { execFile, execFileSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { startPostgres } from '../../support/postgres.ts';
import { type Service, startService } from '../../support/service.ts';
import type { Outcome, Setting } from '../fault.ts';
import type { Load, Measured } from './generator.ts';

/** A service on a core of its own, and a generator, with the database's processes, on the other. */
export interface World {
  service: Service;
  port: number;
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
      { DATABASE_URL: url, ...env },
    );
    pin(SERVICE_CORE, service.process.pid);
    const port = Number(new URL(service.base).port);
    return await work({
      service,
      port,
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
