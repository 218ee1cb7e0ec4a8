import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { Follower } from '../../support/follow.ts';
import type { Change } from '../../support/log.ts';
import { Life, temporaryFolder } from '../../support/owner.ts';
import { startPostgres } from '../../support/postgres.ts';
import { startReceiver } from '../../support/receiver.ts';
import { type Service, startService } from '../../support/service.ts';
import type { Outcome, Setting } from '../fault.ts';
import { Random } from '../random.ts';
import { readAll, sendOver } from './client.ts';
import { skipped } from './hosting.ts';
import { Ledger } from './ledger.ts';
import { Control, compileShim } from './shim.ts';

const HOUR = 3_600_000;
/** How long the clock stays as it is between two jumps. */
const HELD_MS = 1300;
const SCOPES = ['users:read', 'users:write', 'changes:read', 'tasks:read', 'tasks:write', 'webhooks', 'keys'];

interface Replica {
  service: Service;
  clock: Control;
}

/**
 * The wall clock jumps by an hour, forwards and backwards, while users and tasks are written, a feed is followed, a
 * webhook is pushed, and a key runs out. On PostgreSQL the clock of one of two replicas does; the database keeps its own.
 */
export async function clockJumps(setting: Setting): Promise<Outcome> {
  const life = new Life();
  try {
    const folder = await temporaryFolder(life);
    const shim = await compileShim(folder);
    if (shim === undefined) return skipped('there is no C compiler (gcc)');
    const databaseUrl = await databaseOf(setting, life, folder);
    const replicas: Replica[] = [];
    for (let at = 0; at < (setting.database === 'sqlite' ? 1 : 2); at++) {
      const control = join(folder, `control${at}`);
      const clock = new Control(control, { isNew: true });
      const env = { LD_PRELOAD: shim, SHIM_CONTROL: control, DATABASE_URL: databaseUrl, LOG_LEVEL: 'info' };
      const local = { WEBHOOK_ALLOWED_NETWORKS: '127.0.0.0/8' };
      const service = await startService(life, { ...env, ...local }, 'test/torture/storage/service.ts');
      replicas.push({ service, clock });
    }
    return await jump(replicas, life, setting);
  } finally {
    await life.end();
  }
}

async function databaseOf({ database }: Setting, life: Life, folder: string): Promise<string> {
  if (database === 'sqlite') return `sqlite:${join(folder, 'muster.db')}`;
  const server = await startPostgres();
  life.teardown(() => server.stop());
  await server.query('create database clocks');
  return server.url('clocks');
}

async function jump(replicas: Replica[], life: Life, { seed, scale, database }: Setting): Promise<Outcome> {
  const [first] = replicas;
  if (first === undefined) throw new Error('no replica');
  const { base } = first.service;
  const random = new Random(seed);
  const broken: string[] = [];
  const made = await sendOver(base)('POST', '/keys', { json: { name: 'torture', scopes: SCOPES } });
  const authorization = `Bearer ${JSON.parse(made?.text ?? '{}').key}`;
  const sends = replicas.map(({ service }) => sendOver(service.base, authorization));
  const send = sendOver(base, authorization);
  const ledger = new Ledger((...request) => (random.pick(sends) ?? send)(...request));
  const expiresAt = new Date(Date.now() + HOUR / 2).toISOString();
  const brief = await send('POST', '/keys', { json: { name: 'brief', scopes: ['users:read'], expiresAt } });
  const briefly = sendOver(base, `Bearer ${JSON.parse(brief?.text ?? '{}').key}`);

  const taken: number[] = [];
  const receiver = await startReceiver(life, ({ body: { data } }, response) => {
    taken.push(data.position);
    response.writeHead(204).end();
  });
  await send('POST', '/webhooks', { json: { url: receiver.url } });
  await send('POST', '/schedules', { json: { kind: 'sleep', input: { ms: 1 }, cron: '* * * * *' } });
  const follower = new Follower(base, '/changes', { authorization, 'last-event-id': '0' });

  let over = false;
  const writing = Promise.all([0, 1, 2, 3].map((writer) => write(ledger, `w${writer}`, () => over)));
  let jumps = 0;
  const began = Date.now();
  for (let round = 0; round < 2 * scale; round++)
    for (const aheadMs of [HOUR, 0, -HOUR, random.pick([HOUR, 0]) ?? 0]) {
      first.clock.set({ clockMs: aheadMs });
      jumps++;
      // Due in half an hour, and by a clock that is ahead at once. A replica's clock is none to PostgreSQL's tasks.
      const laterMs = database === 'sqlite' ? HOUR / 2 : 800;
      await ledger.steps(`later${jumps}`, { runAt: new Date(Date.now() + laterMs).toISOString() });
      await ledger.steps(`soon${jumps}`, { runAt: new Date(Date.now() + 400).toISOString() });
      await wait(HELD_MS);
      const status = (await briefly('GET', '/users?limit=1'))?.status;
      if (status !== (aheadMs > 0 ? 401 : 200))
        broken.push(`the key of half an hour is answered ${status} when the clock is ahead by ${aheadMs} ms`);
    }
  over = true;
  await writing;
  first.clock.set({ clockMs: HOUR });
  broken.push(...(await ledger.untilOver(120_000)));
  first.clock.set({ clockMs: 0 });
  broken.push(...(await ledger.verify({ isOver: true })), ...ledger.broken);

  const log = await readAll<Change>(send, '/changes?limit=1000');
  const positions = log.map(({ position }) => position);
  const hasAll = (seen: readonly number[]) => positions.every((position) => seen.includes(position));
  await untilOrLate(() => hasAll(taken) && follower.changes.length >= log.length, 120_000);
  if (!isDeepStrictEqual(follower.changes, log))
    broken.push('the follower did not see the log, once and in order');
  follower.cut();
  if (!hasAll(taken))
    broken.push(`the webhook has had ${new Set(taken).size} of ${positions.length} changes`);
  broken.push(...(await runsOf(send, ledger, began, jumps)));
  const ends = await Promise.all(replicas.map(({ service }) => service.end('SIGTERM')));
  if (ends.some((code) => code !== 0)) broken.push(`the services ended with ${ends.join(', ')}`);
  const figures = {
    jumps,
    'acknowledged writes': ledger.counts.done,
    'tasks that ran once': ledger.tasks.length,
    'changes followed': follower.changes.length,
    'pushed to the webhook': taken.length,
  };
  return { rounds: jumps, figures, broken };
}

async function write(ledger: Ledger, name: string, isOver: () => boolean): Promise<void> {
  for (let at = 0; !isOver(); at++) {
    const email = `${name}.${at}@example.com`;
    await ledger.create(email, { n: 0 });
    await ledger.patch(email, { n: 1 });
    if (at % 3 === 0) await ledger.remove(email);
    if (at % 10 === 0) await ledger.steps(`${name}steps${at}`, { pauseMs: 150 * (at % 4) });
    if (at % 25 === 0) await ledger.import(`${name}import${at}`, 50);
    await wait(15);
  }
}

/** Each task has run in one attempt, and the schedule no more often than its minutes, or hours, came. */
async function runsOf(send: Ledger['send'], ledger: Ledger, began: number, jumps: number): Promise<string[]> {
  const broken: string[] = [];
  for (const { id, was, name } of ledger.tasks) {
    if (was !== 'done') continue;
    const { attempt } = JSON.parse((await send('GET', `/tasks/${id}`))?.text ?? '{}');
    if (attempt !== 1) broken.push(`the task ${name} ran ${attempt} times`);
  }
  const fired = await readAll<object>(send, '/tasks?kind=sleep&limit=1000');
  const most = Math.ceil((Date.now() - began) / 60_000) + 1 + jumps;
  if (fired.length > most) broken.push(`the schedule fired ${fired.length} times`);
  return broken;
}

async function untilOrLate(isSo: () => boolean, limitMs: number): Promise<void> {
  for (const until = performance.now() + limitMs; !isSo() && performance.now() < until; ) await wait(20);
}
