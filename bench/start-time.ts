import { join } from 'node:path';
import { sqliteTemplate } from './database/sqlite.ts';
import { takeMachine } from './machine/cores.ts';
import { startServer } from './machine/server-process.ts';
import { costOfImports, packagesAtStart } from './profile/start.ts';
import { ms } from './report/format.ts';
import { median } from './report/summary.ts';
import { HAND_WRITTEN, MUSTER, SERVERS, type Server } from './servers.ts';

/**
 * `npm run start-time`: from the start of the process to its first answer, with the database there and without, the
 * idle memory, and what is paid for it.
 */
const RUNS = 7;
const USERS = 10_000;
const IDLE_MS = 1000;

takeMachine();
const template = await sqliteTemplate(USERS);
const found: Record<string, string>[] = [];
try {
  for (const name of [MUSTER, HAND_WRITTEN]) {
    const server = SERVERS.find((one) => one.name === name);
    if (server === undefined) throw new Error(`no server ${name}`);
    for (const path of name === MUSTER ? ['/users/1', '/openapi.json'] : ['/users/1']) {
      found.push(await measure(server, path, 'filled'));
      if (name === MUSTER) found.push(await measure(server, path, 'none yet'));
    }
  }
} finally {
  await template.remove();
}
console.log(`\nFirst answer after the start of the process, ${RUNS} runs (ms)`);
console.table(found);
console.log('\nCPU time of Muster from its start to its first answer, by package');
console.table(await packagesAtStart(RUNS));
console.log('\nWhat importing a package alone takes, in a process of its own (they share parts: not a sum)');
console.table(await costOfImports(RUNS));

async function measure(server: Server, path: string, database: 'filled' | 'none yet') {
  const [times, idle]: [number[], number[]] = [[], []];
  for (let run = 0; run < RUNS; run++) {
    const copy = await template.copy(`${server.name}-${run}`);
    const url =
      database === 'filled' ? copy.url : `sqlite:${join(copy.url.slice('sqlite:'.length), '..', 'new.db')}`;
    try {
      if (database === 'filled') await once(server, path, url); // the second start is the usual one
      const started = await once(server, path, url);
      times.push(started.startMs);
      idle.push(started.idleBytes);
    } finally {
      await copy.remove();
    }
  }
  return {
    server: server.name,
    database,
    path,
    median: ms(median(times)),
    best: ms(Math.min(...times)),
    worst: ms(Math.max(...times)),
    'idle MB': (median(idle) / 2 ** 20).toFixed(0),
  };
}

async function once(server: Server, path: string, url: string) {
  const env = { ...server.env, DATABASE_URL: url };
  const started = await startServer(server.command, env, { cwd: server.cwd, path });
  await new Promise((resolve) => setTimeout(resolve, IDLE_MS));
  const { startMs } = started;
  const idleBytes = started.idleBytes();
  await started.stop();
  return { startMs, idleBytes };
}
