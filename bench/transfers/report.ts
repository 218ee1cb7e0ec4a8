import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { loadavg } from 'node:os';
import { join } from 'node:path';
import { describeMachine, type Machine } from '../machine/describe.ts';
import type { DatabaseName } from '../options.ts';
import { align } from '../report/terminal.ts';
import { BENCH } from '../servers.ts';
import type { Beside } from './beside.ts';
import { writeTransfers } from './markdown.ts';
import type { TransferOptions } from './options.ts';
import { tablesOf } from './tables.ts';
import type { WholeImport } from './whole.ts';
import type { ExportedFormat } from './whole-export.ts';

export interface ImportGroup {
  database: DatabaseName;
  /** Who were there before. */
  users: number;
  rows: number;
  whole?: WholeImport;
  /** Rows a second. */
  bareRate?: number;
  peers: { peer: string; rate: number }[];
  beside?: Beside[];
  /** The parts of the file at which the service was killed. */
  killedAt?: number[];
  failures: string[];
}

export interface ExportGroup {
  database: DatabaseName;
  users: number;
  formats: ExportedFormat[];
  /** Users a second. */
  bareRate?: number;
  beside?: Beside[];
  failures: string[];
}

/** One command's run. */
export interface Run<Group> {
  machine: Machine;
  /** Of the minute before it, and of its last. */
  loadAverages: [number, number];
  rounds: number;
  seconds: number;
  groups: Group[];
}

export interface TransfersReport {
  import?: Run<ImportGroup>;
  export?: Run<ExportGroup>;
}

/** Keeps what this run found beside what the other command found last, and gives it as a text. */
export async function keepReport(
  { out, rounds, seconds }: TransferOptions,
  part: { [Name in keyof TransfersReport]: Omit<Run<unknown>, 'machine' | 'rounds' | 'seconds'> },
): Promise<string> {
  const path = join(BENCH, 'results', out);
  const packages = ['better-sqlite3', 'pg', 'drizzle-orm', '@prisma/client', '@mikro-orm/core', 'typeorm'];
  const machine = await describeMachine(packages);
  const runs = Object.entries(part).map(([name, run]) => [name, { machine, rounds, seconds, ...run }]);
  const found: TransfersReport = Object.fromEntries(runs);
  const kept: TransfersReport = await readFile(`${path}.json`, 'utf8').then(JSON.parse, () => ({}));
  const report = { ...kept, ...found };
  await mkdir(join(BENCH, 'results'), { recursive: true });
  await writeFile(`${path}.json`, `${JSON.stringify(report, undefined, 1)}\n`);
  await writeFile(`${path}.md`, writeTransfers(report));
  return tablesOf(found)
    .map(({ title, head, rows }) => align([`— ${title}`, [...head], ...rows]).join('\n'))
    .join('\n');
}

/** For people who wait. */
export function say(line: string): void {
  process.stderr.write(`${line}\n`);
}

export function loadAverage(): number {
  return loadavg()[0] ?? Number.NaN;
}
