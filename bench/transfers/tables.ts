import { DATABASE_TITLES, ms, whole } from '../report/format.ts';
import { BARE } from './bare.ts';
import type { Beside } from './beside.ts';
import { goalsOf } from './goals.ts';
import type { ExportGroup, ImportGroup, TransfersReport } from './report.ts';

export interface Table {
  title: string;
  head: readonly string[];
  rows: string[][];
}

/** What is told of an import, and then of an export. */
export function tablesOf(report: TransfersReport): Table[] {
  const imports = report.import?.groups ?? [];
  const exports = report.export?.groups ?? [];
  const tables = [
    {
      title: 'Import: rows a second',
      head: ['', 'rows', 'rows/s', '× Muster'],
      rows: imports.flatMap(importRates),
    },
    besideTable('Import', imports),
    {
      title: 'Export: users a second',
      head: ['', 'users', 'users/s', '× Muster', 'MB above idle', 'growth, MB'],
      rows: exports.flatMap(exportRates),
    },
    besideTable('Export', exports),
    {
      title: 'What is promised',
      head: ['', 'wanted', 'found', 'met'],
      rows: goalsOf(report).map(({ text, wanted, found, met }) => [
        text,
        wanted,
        found,
        met ? 'yes' : '**no**',
      ]),
    },
    {
      title: 'What could not be measured',
      head: ['', 'why'],
      rows: [...imports, ...exports].flatMap(({ database, failures }) =>
        failures.map((why) => [DATABASE_TITLES[database], why.replaceAll('\n', ' ').slice(0, 300)]),
      ),
    },
  ];
  return tables.filter(({ rows }) => rows.length > 0);
}

function importRates({ database, rows, whole: own, bareRate, peers }: ImportGroup): string[][] {
  const rates: [string, number | undefined][] = [
    ['Muster, with the upload', own?.rate],
    ['Muster, the task alone', own?.taskRate],
    [database === 'sqlite' ? `${BARE.sqlite} .import` : BARE.postgresql, bareRate],
    ...peers.map(({ peer, rate }): [string, number] => [peer, rate]),
  ];
  return rates.flatMap(([name, rate]) =>
    rate === undefined
      ? []
      : [[`${DATABASE_TITLES[database]}: ${name}`, whole(rows), whole(rate), times(rate, own?.rate)]],
  );
}

function exportRates({ database, users, formats, bareRate }: ExportGroup): string[][] {
  const title = DATABASE_TITLES[database];
  const csv = formats.find(({ format }) => format === 'csv')?.rate;
  const rows = formats.map(({ format, rate, aboveIdleBytes, growthBytes }) => [
    `${title}: Muster, ${format}`,
    whole(users),
    whole(rate),
    times(rate, csv),
    whole(aboveIdleBytes / 1e6),
    whole(growthBytes / 1e6),
  ]);
  if (bareRate !== undefined) {
    const bare = database === 'sqlite' ? `${BARE.sqlite} -csv` : BARE.postgresql;
    rows.push([`${title}: ${bare}`, whole(users), whole(bareRate), times(bareRate, csv), '', '']);
  }
  return rows;
}

function besideTable(
  what: string,
  groups: readonly { database: ImportGroup['database']; beside?: Beside[] }[],
): Table {
  return {
    title: `${what}: what is beside it`,
    head: ['', 'p50 idle, ms', 'beside it, ms', 'p99 idle, ms', 'beside it, ms', '× idle'],
    rows: groups.flatMap(({ database, beside = [] }) =>
      beside.map(({ work, idleP50Ms, busyP50Ms, idleP99Ms, busyP99Ms }) => [
        `${DATABASE_TITLES[database]}: ${work}`,
        ms(idleP50Ms),
        ms(busyP50Ms),
        ms(idleP99Ms),
        ms(busyP99Ms),
        times(busyP99Ms, idleP99Ms),
      ]),
    ),
  };
}

function times(one: number, other: number | undefined): string {
  return other === undefined ? '' : (one / other).toFixed(2);
}
