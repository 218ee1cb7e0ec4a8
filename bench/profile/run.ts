import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { postgresTemplate, startDurablePostgres } from '../database/postgresql.ts';
import type { Template } from '../database/seed.ts';
import { sqliteTemplate } from '../database/sqlite.ts';
import { takeMachine } from '../machine/cores.ts';
import { startServer } from '../machine/server-process.ts';
import { generate, loadOf } from '../measure.ts';
import { readOptions } from '../options.ts';
import { prepare } from '../prepare.ts';
import { BENCH, does, MUSTER, type Server } from '../servers.ts';
import { WORKS, type WorkName } from '../works.ts';
import { type Cost, type Costs, nowMicros, readProfile } from './cpu-profile.ts';

/**
 * `npm run profile`: where the time goes in each work, of Muster or of `--servers`. Takes the flags of
 * `npm run bench`; the profiles stay below `build/` for a browser's developer tools.
 */
const options = readOptions([
  '--users',
  '100000',
  '--databases',
  'sqlite',
  '--servers',
  MUSTER,
  ...process.argv.slice(2),
]);
/** Between the end of the window and the end of the generator. */
const SETTLE_MICROS = 200_000;

takeMachine();
await prepare(options.servers.map(({ name }) => name));
const postgres = options.databases.includes('postgresql') ? await startDurablePostgres() : undefined;
try {
  for (const users of options.users) {
    if (options.databases.includes('sqlite')) await profileAll(await sqliteTemplate(users), 'sqlite', users);
    if (postgres) await profileAll(await postgresTemplate(postgres, users), 'postgresql', users);
  }
} finally {
  await postgres?.stop();
}

async function profileAll(template: Template, database: string, users: number): Promise<void> {
  for (const server of options.servers) {
    for (const work of options.works.filter((one) => does(server, one))) {
      const copy = await template.copy(`profile-${server.name}-${work}`);
      const folder = join(BENCH, 'build/profiles', `${server.name}-${database}-${users}-${work}`);
      await rm(folder, { recursive: true, force: true });
      await mkdir(folder, { recursive: true });
      const costs = await profile(server, work, users, copy.url, folder);
      await copy.remove();
      print(`${server.title}: ${WORKS[work].title}, ${database}, ${users} users`, costs);
    }
  }
  await template.remove();
}

async function profile(server: Server, work: WorkName, users: number, url: string, folder: string) {
  const [program = '', ...args] = server.command;
  const command = [program, '--cpu-prof', `--cpu-prof-dir=${folder}`, ...args];
  const started = await startServer(command, { ...server.env, DATABASE_URL: url }, server);
  try {
    const load = await loadOf(work, started, { users, tag: 'profile', besideDatabase: false }, options);
    const measured = await generate(load);
    const to = nowMicros() - SETTLE_MICROS;
    await started.stop();
    const costs = await readProfile(folder, to - load.windowMs * 1000, to);
    return { ...costs, throughput: measured.throughput, seconds: load.windowMs / 1000 };
  } finally {
    await started.stop();
  }
}

function print(
  title: string,
  { throughput, seconds, ...costs }: Costs & { throughput: number; seconds: number },
): void {
  const requests = throughput * seconds;
  const { total, idle, packages, functions, own } = costs;
  const share = (total / (total + idle)) * 100;
  console.log(
    `\n## ${title}: ${Math.round(throughput)}/s while profiled, ${share.toFixed(0)} % of the core busy`,
  );
  list('by package', packages, 14, total, requests);
  list('by function', functions, 30, total, requests);
  list('its own functions, with all that they call', own, 25, total, requests);
}

function list(title: string, costs: readonly Cost[], count: number, total: number, requests: number): void {
  console.log(`\n${title} (% of busy time, µs per request)`);
  for (const { name, micros } of costs.slice(0, count)) {
    const percent = ((micros / total) * 100).toFixed(1).padStart(5);
    console.log(`${percent} % ${(micros / requests).toFixed(2).padStart(7)}  ${name}`);
  }
}
