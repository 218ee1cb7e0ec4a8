import { spawnSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { setTimeout as wait } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import type { DatabaseName, Outcome } from './fault.ts';
import { faults } from './faults.ts';
import { RESULTS, type Result, table } from './table.ts';

/*
 * `npm run torture -- [--seed N] [--scale N] [--only NAME,…] [--database sqlite|postgresql] [--table] [--fuzz N]`: every
 * fault on every database, `scale` times as long as the short form. `--table` keeps the results of a whole run, and
 * prints the table of the README. `--fuzz` ends with so many requests of the fuzzer on each database.
 */
const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: String(Math.floor(Math.random() * 2 ** 31)) },
    scale: { type: 'string', default: '1' },
    only: { type: 'string' },
    database: { type: 'string' },
    table: { type: 'boolean', default: false },
    fuzz: { type: 'string', default: '0' },
  },
});
/** What one fault may take on one database, for each `scale`. */
const LIMIT_MS = 600_000;
const seed = wholeNumber('seed', values.seed);
const scale = wholeNumber('scale', values.scale);
const names = values.only?.split(',') ?? faults.map(({ name }) => name);
const unknown = names.filter((name) => !faults.some((fault) => fault.name === name));
if (unknown.length > 0)
  throw new Error(
    `no such fault: ${unknown.join(', ')}; there are ${faults.map(({ name }) => name).join(', ')}`,
  );

const began = performance.now();
const results: Result[] = [];
console.log(`torture: seed ${seed}, scale ${scale}`);
for (const database of ['sqlite', 'postgresql'] as const) {
  if (values.database !== undefined && values.database !== database) continue;
  for (const { name, databases } of faults)
    if (names.includes(name) && databases.includes(database)) results.push(await run(name, database));
}
const broken = results.reduce((sum, one) => sum + one.broken.length, 0);
const isSilent = Number(values.fuzz) === 0 || fuzz();
const seconds = Math.round((performance.now() - began) / 1000);
const rounds = results.reduce((sum, one) => sum + one.rounds, 0);
console.log(`torture: ${rounds} rounds, ${broken} broken, seed ${seed}, ${seconds} s`);
if (values.table) {
  if (values.only === undefined && values.database === undefined)
    await writeFile(RESULTS, `${JSON.stringify({ seed, scale, seconds, results }, null, 2)}\n`);
  console.log(`\n${table(results)}`);
}
// What a fault left behind must not keep it from ending.
process.exit(broken === 0 && isSilent && results.length > 0 ? 0 : 1);

async function run(name: string, database: DatabaseName): Promise<Result> {
  const title = `${name} on ${database}`;
  const log = (line: string) => console.log(`torture: ${title}: ${line}`);
  const fault = faults.find((one) => one.name === name);
  const start = performance.now();
  const failed = (why: string): Outcome => ({ rounds: 0, figures: {}, broken: [why] });
  const limit = wait(LIMIT_MS * scale, failed('it did not end'), { ref: false });
  const outcome = fault
    ?.run({ database, seed, scale, log })
    .catch((error) => failed(`it could not be run: ${error?.stack ?? error}`));
  const {
    rounds,
    figures,
    broken,
    missed = [],
  } = (await Promise.race([outcome, limit])) ?? failed('there is no such fault');
  const told = Object.entries(figures).map(([what, figure]) => `${what}: ${figure}`);
  const result = broken.length === 0 ? 'nothing broken' : `BROKEN ${broken.length} times`;
  log(
    [`${rounds} rounds, ${result}, ${Math.round((performance.now() - start) / 1000)} s`, ...told].join('; '),
  );
  for (const one of broken) log(`BROKEN: ${one}`);
  for (const one of missed) log(`MISSED: ${one}`);
  return { fault: name, database, rounds, figures, broken, missed };
}

function fuzz(): boolean {
  const args = ['test/fuzz/main.ts', '--requests', values.fuzz, '--seed', String(seed)];
  return spawnSync(process.execPath, args, { stdio: 'inherit' }).status === 0;
}

function wholeNumber(name: string, text: string): number {
  if (!/^\d{1,10}$/.test(text)) throw new Error(`--${name} is a whole number, not ${text}`);
  return Number(text);
}
