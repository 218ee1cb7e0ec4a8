import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { PostgresServer } from '../test/support/postgres.ts';
import { postgresTemplate, startDurablePostgres } from './database/postgresql.ts';
import type { Template } from './database/seed.ts';
import { sqliteTemplate } from './database/sqlite.ts';
import { takeMachine } from './machine/cores.ts';
import { describeMachine } from './machine/describe.ts';
import { type Rates, type Turn, takeTurn } from './measure.ts';
import { type DatabaseName, type Options, readOptions } from './options.ts';
import { prepare } from './prepare.ts';
import { drawChart } from './report/chart.ts';
import { writeMarkdown } from './report/markdown.ts';
import { type Group, type Report, summarise } from './report/summary.ts';
import { printTable } from './report/terminal.ts';
import { BENCH, type Server } from './servers.ts';

const options = readOptions(process.argv.slice(2));
takeMachine();

const skipped = options.servers.flatMap(({ name, title, missing }) => {
  const reason = missing?.();
  return reason === undefined ? [] : [{ server: name, title, reason }];
});
const servers = options.servers.filter(({ name }) => !skipped.some(({ server }) => server === name));
for (const { server, reason } of skipped) say(`${server} is left out: ${reason}`);

await prepare(servers.map(({ name }) => name));
const postgres = options.databases.includes('postgresql') ? await startDurablePostgres() : undefined;
const groups: Group[] = [];
try {
  for (const users of options.users) {
    for (const database of options.databases) groups.push(await measureGroup(database, users));
  }
} finally {
  await postgres?.stop();
}

const report: Report = { machine: await describeMachine(), options: settingsOf(options), skipped, groups };
await write(report);
console.log(printTable(report));
if (groups.some(({ failures }) => failures.length > 0)) process.exitCode = 1;

/** Every server, round by round, on one database of one size; each turn begins with a copy of the same state. */
async function measureGroup(database: DatabaseName, users: number): Promise<Group> {
  say(`${database}, ${users} users: filling`);
  const template = await fill(database, users);
  const rates: Rates = new Map();
  const turns: Turn[] = [];
  const failures: Group['failures'] = [];
  for (let round = 1; round <= options.rounds; round++) {
    // Every other round backwards: what drifts with time then favours nobody.
    for (const server of round % 2 === 1 ? servers : servers.toReversed()) {
      if (failures.some((failure) => failure.server === server.name)) continue;
      try {
        turns.push(await measureServer(server, template, users, round, rates));
      } catch (error) {
        const problem = error instanceof Error ? error.message : String(error);
        failures.push({ server: server.name, problem });
        say(`${server.name}: ${problem}`);
      }
    }
  }
  await template.remove();
  return { database, users, turns, failures, rows: summarise(turns) };
}

function fill(database: DatabaseName, users: number): Promise<Template> {
  return database === 'sqlite' ? sqliteTemplate(users) : postgresTemplate(running(postgres), users);
}

async function measureServer(
  server: Server,
  template: Template,
  users: number,
  round: number,
  rates: Rates,
): Promise<Turn> {
  const copy = server.isFloor ? undefined : await template.copy(`${server.name}-${round}`);
  try {
    const turn = await takeTurn(server, copy, { users, tag: `r${round}` }, options, rates);
    const works = Object.entries(turn.highest).map(([work, { throughput, errors }]) => {
      return `${work} ${Math.round(throughput)}/s${errors > 0 ? ` (${errors} errors)` : ''}`;
    });
    const disk = `a durable write takes ${Math.round(turn.durableWriteMicros)} µs`;
    say(`  round ${round}, ${server.name} (${disk}): ${works.join(', ')}`);
    return turn;
  } finally {
    await copy?.remove();
  }
}

async function write(all: Report): Promise<void> {
  const folder = join(BENCH, 'results');
  await mkdir(folder, { recursive: true });
  const path = (extension: string) => join(folder, `${options.out}.${extension}`);
  await writeFile(path('json'), `${JSON.stringify(all, undefined, 1)}\n`);
  await writeFile(path('svg'), drawChart(all));
  await writeFile(path('md'), writeMarkdown(all, options.out));
}

function settingsOf({ rounds, seconds, warmUpSeconds, connections }: Options): Report['options'] {
  return { rounds, seconds, warmUpSeconds, connections };
}

function running(server: PostgresServer | undefined): PostgresServer {
  if (server === undefined) throw new Error('PostgreSQL was not started');
  return server;
}

function say(line: string): void {
  process.stderr.write(`${line}\n`);
}
