import { execFile } from 'node:child_process';
import { mkdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { ROOT } from '../database/seed.ts';
import { scratchFolder } from '../database/sqlite.ts';
import { onServerCore } from '../machine/cores.ts';
import { startServer } from '../machine/server-process.ts';
import { median } from '../report/summary.ts';
import { MUSTER, SERVERS } from '../servers.ts';
import { nowMicros, readProfile } from './cpu-profile.ts';

const run = promisify(execFile);

/** CPU time from the start of Muster to its first answer, by package: medians of several profiles. */
export async function packagesAtStart(runs: number): Promise<Record<string, string>[]> {
  const found = new Map<string, number[]>();
  const folder = await scratchFolder();
  try {
    for (let index = 0; index < runs; index++) {
      const own = join(folder, String(index));
      await mkdir(own);
      const [program = '', ...args] = SERVERS.find(({ name }) => name === MUSTER)?.command ?? [];
      const command = [program, '--cpu-prof', `--cpu-prof-dir=${own}`, ...args];
      const env = { DATABASE_URL: `sqlite:${join(folder, 'users.db')}`, LOG_LEVEL: 'warn' };
      const server = await startServer(command, env, { cwd: ROOT });
      const answered = nowMicros();
      await server.stop();
      const { packages, idle } = await readProfile(own, 0, answered);
      for (const { name, micros } of [...packages, { name: '(idle: waiting)', micros: idle }]) {
        found.set(name, [...(found.get(name) ?? []), micros / 1000]);
      }
    }
  } finally {
    await rm(folder, { recursive: true });
  }
  return [...found]
    .map(([name, times]) => ({ name, time: median(times) }))
    .filter(({ time }) => time >= 1)
    .sort((a, b) => b.time - a.time)
    .map(({ name, time }) => ({ package: name, ms: time.toFixed(1) }));
}

/** Each dependency of the service imported alone, in a process of its own. */
export async function costOfImports(runs: number): Promise<Record<string, string>[]> {
  const { dependencies } = JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8'));
  const rows = [];
  for (const name of Object.keys(dependencies)) {
    const times = [];
    const sizes = [];
    for (let index = 0; index < runs; index++) {
      const { time, bytes } = await importAlone(name);
      times.push(time);
      sizes.push(bytes);
    }
    rows.push({ package: name, time: median(times), bytes: median(sizes) });
  }
  return rows
    .sort((a, b) => b.time - a.time)
    .map(({ package: name, time, bytes }) => ({
      package: name,
      ms: time.toFixed(1),
      MB: (bytes / 2 ** 20).toFixed(1),
    }));
}

async function importAlone(name: string): Promise<{ time: number; bytes: number }> {
  const script = `
    const before = process.memoryUsage.rss(), from = performance.now();
    await import(${JSON.stringify(name)});
    console.log(JSON.stringify({ time: performance.now() - from, bytes: process.memoryUsage.rss() - before }));`;
  const [program, args] = onServerCore([process.execPath, '--input-type=module', '--eval', script]);
  return JSON.parse((await run(program, args, { cwd: ROOT })).stdout);
}
