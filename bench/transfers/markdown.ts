import { machineLine, markdownTable } from '../report/markdown.ts';
import type { Run, TransfersReport } from './report.ts';
import { tablesOf } from './tables.ts';

export function writeTransfers(report: TransfersReport): string {
  const sections = [
    '# Imports and exports',
    ...Object.entries(report).map(([name, run]) => `**${name}**: ${method(run)}`),
    'The service, its database and the clients share both cores, without being pinned. Commits are durable for all: SQLite with WAL and `synchronous=FULL`, PostgreSQL with `fsync` and `synchronous_commit` on. Afterwards the table, the log and the refused rows are compared with what the file was made of, row by row; a part of which that is not so fails.',
    'The databases’ own tools are given whole rows as the table has them, with the same indices, check nothing and record no change. The peers read the same file with csv-parse, check each row with Ajv, and insert a thousand users and a change for each in one transaction. Rates are rows of the file a second, Muster’s from the first byte that is sent.',
    'p99 is that of 200 requests a second from another process, idle and beside the work in turn, in windows of their own; medians of the windows. Growth is the memory of the last quarter of an export above that of the first.',
    ...tablesOf(report).flatMap(({ title, head, rows }) => [`## ${title}`, markdownTable(head, rows, 1)]),
  ];
  return `${sections.join('\n\n')}\n`;
}

function method({ machine, loadAverages, rounds, seconds }: Run<unknown>): string {
  const [before, after] = loadAverages.map((load) => load.toFixed(2));
  return `${machineLine(machine)} ${rounds} windows of ${seconds} s. The load average was ${before} before and ${after} at the end.`;
}
