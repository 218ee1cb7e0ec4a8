import { execFile } from 'node:child_process';
import { closeSync, mkdirSync, openSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { promisify } from 'node:util';
import { Life, temporaryFolder } from '../../support/owner.ts';
import { failService, type Service, startService } from '../../support/service.ts';
import type { Outcome, Setting } from '../fault.ts';
import { Random } from '../random.ts';
import { sendOver } from './client.ts';
import { integrityOf } from './directory.ts';
import { skipped } from './hosting.ts';
import { Ledger } from './ledger.ts';

const run = promisify(execFile);
const SCRIPT = 'test/torture/storage/service.ts';
/** How long the disk is full each time. */
const FULL_MS = 1200;

interface Disk {
  path: string;
  /** Leaves not a byte. */
  fill(): void;
  free(): void;
}

/** A disk of a few megabytes; undefined where one may not be mounted. */
async function mountDisk(life: Life): Promise<Disk | undefined> {
  const path = join(await temporaryFolder(life), 'disk');
  mkdirSync(path);
  try {
    await run('mount', ['-t', 'tmpfs', '-o', 'size=16m,mode=700', 'muster-torture', path]);
  } catch {
    return undefined;
  }
  life.teardown(() => run('umount', [path]));
  const filler = join(path, 'filler');
  const fill = () => {
    const file = openSync(filler, 'a');
    for (let size = 2 ** 20; size >= 1; )
      try {
        if (writeSync(file, Buffer.alloc(size)) < size) size = Math.floor(size / 2);
      } catch {
        size = Math.floor(size / 2);
      }
    closeSync(file);
  };
  return { path, fill, free: () => rmSync(filler, { force: true }) };
}

/**
 * The disk becomes full in the middle of an import, of an erasure, and of a load of creates and tasks; the service is
 * also killed while it is, and started on it. Look-ups go on, writes are refused with a 503, and when there is space
 * again everything goes on.
 */
export async function diskFull(setting: Setting): Promise<Outcome> {
  const life = new Life();
  try {
    const disk = await mountDisk(life);
    if (disk === undefined) return skipped('a disk of its own can only be mounted by root');
    return await tortureOn(disk, life, setting);
  } finally {
    await life.end();
  }
}

async function tortureOn(disk: Disk, life: Life, { seed, scale }: Setting): Promise<Outcome> {
  const random = new Random(seed);
  const database = join(disk.path, 'muster.db');
  const env = { DATABASE_URL: `sqlite:${database}`, LOG_LEVEL: 'warn', MIN_FREE_DISK_MB: '1' };
  let service = await startService(life, { ...env, LOG_LEVEL: 'info' }, SCRIPT);
  let ledger = new Ledger(sendOver(service.base));
  const broken: string[] = [];
  const counts = { done: 0, refused: 0, unknown: 0 };
  const move = (to: Service) => {
    for (const name of ['done', 'refused', 'unknown'] as const) counts[name] += ledger.counts[name];
    broken.push(...ledger.broken);
    service = to;
    ledger = ledger.against(sendOver(to.base));
  };
  await ledger.create('watched@example.com');
  let lookups = 0;
  const whileFull = async (meanwhile: () => Promise<unknown>) => {
    disk.fill();
    const doing = meanwhile();
    for (const until = performance.now() + FULL_MS; performance.now() < until; await wait(20)) {
      const answer = await ledger.send('GET', '/users/1');
      if (answer?.status !== 200) broken.push(`a look-up on a full disk: ${answer?.status} ${answer?.text}`);
      lookups++;
    }
    // SQLite gives space back itself, such as that of a journal which it has read in: that is filled, too.
    let ready: Awaited<ReturnType<typeof ledger.send>>;
    for (let tries = 0; tries < 100 && ready?.status !== 503; tries++) {
      await wait(50);
      disk.fill();
      ready = await ledger.send('GET', '/health/ready');
    }
    if (ready?.status !== 503 || !/disk/.test(ready.text)) broken.push(`full, and ready: ${ready?.text}`);
    await doing;
  };
  const creates = (name: string, many: number) =>
    Promise.all(
      Array.from({ length: many }, async (_, at) => {
        await ledger.create(`${name}.${at}@example.com`, { text: 'x'.repeat(random.between(100, 12_000)) });
        if (at % 5 === 0) await ledger.steps(`${name}.steps${at}`);
      }),
    );
  const allIsWell = async (when: string) => {
    disk.free();
    broken.push(...(await ledger.untilOver(120_000)));
    await ledger.create(`after.${when}@example.com`);
    broken.push(...(await ledger.verify({ isOver: true })).map((what) => `${when}: ${what}`));
  };

  for (let round = 0; round < scale; round++) {
    const name = `r${round}`;
    void ledger.import(`${name}.import`, 1200, 'x'.repeat(300));
    await untilThere(ledger, `${name}.import-${random.between(30, 600)}@example.com`);
    await whileFull(() => creates(`${name}.importing`, 20));
    await allIsWell(`${name}.import`);

    await ledger.erase(`${name}.importing.0@example.com`);
    await ledger.erase(`after.${name}.import@example.com`);
    await whileFull(() => ledger.erase(`${name}.importing.1@example.com`));
    await allIsWell(`${name}.erasure`);

    const before = creates(`${name}.before`, 40);
    await wait(random.between(0, 30));
    await whileFull(async () => {
      for (let at = 0; at < 10; at++) await creates(`${name}.full${at}`, 10);
    });
    await before;
    await allIsWell(`${name}.load`);

    const kept = creates(`${name}.killed`, 20);
    disk.fill();
    await wait(random.between(0, 100));
    await service.end('SIGKILL');
    await kept;
    const refused = await startOrFail(life, env);
    if (
      'code' in refused &&
      (refused.code !== 1 || !/^Muster does not start: [^\n]+\n$/.test(refused.output))
    )
      broken.push(`started on a full disk it ended with ${refused.code}: ${refused.output}`);
    if ('end' in refused) await refused.end('SIGKILL');
    disk.free();
    move(await startService(life, { ...env, LOG_LEVEL: 'info' }, SCRIPT));
    await allIsWell(`${name}.kill`);
  }
  await service.end('SIGTERM');
  broken.push(...integrityOf(database));
  move(service);
  const figures = {
    'acknowledged writes': counts.done,
    'refused writes': counts.refused,
    'unconfirmed writes': counts.unknown,
    'look-ups on a full disk': lookups,
  };
  return { rounds: 4 * scale, figures, broken };
}

async function untilThere({ send }: Ledger, email: string): Promise<void> {
  for (;;) {
    const answer = await send('GET', `/users?email=${encodeURIComponent(email)}`);
    if (answer?.status === 200 && answer.text !== '[]') return;
    await wait(2);
  }
}

/** A service that is up, or what it said when it would not come up. */
async function startOrFail(life: Life, env: Record<string, string>) {
  try {
    return await startService(life, { ...env, LOG_LEVEL: 'info' });
  } catch {
    return failService(life, env);
  }
}
