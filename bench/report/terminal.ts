import { WORKS } from '../works.ts';
import { cellsOf, DATABASE_TITLES, footnotes, HEAD, titleOf, whole } from './format.ts';
import { type Goal, goalsOf } from './goals.ts';
import type { Report } from './summary.ts';

/** The one table, for a terminal. */
export function printTable(report: Report): string {
  const lines: (string[] | string)[] = [HEAD];
  for (const { database, users, rows, failures } of report.groups) {
    let work = '';
    for (const row of rows) {
      if (row.work !== work)
        lines.push(`— ${WORKS[row.work].title}, ${DATABASE_TITLES[database]}, ${whole(users)} users`);
      work = row.work;
      lines.push(cellsOf(row));
    }
    for (const { server, problem } of failures) lines.push(`${titleOf(server)} failed: ${problem}`);
  }
  for (const { title, reason } of report.skipped) lines.push(`${title}: left out, ${reason}`);
  const goals = report.groups.flatMap(goalsOf).map(goalLine);
  const notes = footnotes(report.groups.flatMap(({ rows }) => rows));
  return [...align(lines), '', ...notes, ...goals].join('\n');
}

function goalLine({ text, database, users, limit, atMost, found, met }: Goal): string {
  const wanted = `${atMost ? 'at most' : 'at least'} ${limit}`;
  return `${met ? 'met   ' : 'MISSED'} ${found.toFixed(2).padStart(7)}  (${wanted})  ${text}, ${database}, ${whole(users)}`;
}

/** Rows as columns of one width; a line that is no row stands between them. */
export function align(lines: readonly (string[] | string)[]): string[] {
  const rows = lines.filter((line) => typeof line !== 'string');
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return lines.map((line) => {
    if (typeof line === 'string') return `\n${line}`;
    const cells = line.map((cell, column) => {
      const width = widths[column] ?? 0;
      return column === 0 ? cell.padEnd(width) : cell.padStart(width);
    });
    return cells.join('  ');
  });
}
