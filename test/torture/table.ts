import type { DatabaseName, Outcome } from './fault.ts';
import { faults } from './faults.ts';

export interface Result extends Outcome {
  fault: string;
  database: DatabaseName;
}

/** The results of the last whole run that was asked for a table. */
export const RESULTS = new URL('results.json', import.meta.url);

/** The faults that were run, as a table in Markdown. */
export function table(results: readonly Result[]): string {
  const rows = faults.flatMap(({ name, what }) => {
    const cells = (['sqlite', 'postgresql'] as const).map((database) =>
      cell(results.find((one) => one.fault === name && one.database === database)),
    );
    return cells.every((one) => one === '–') ? [] : [`| \`${name}\` | ${what} | ${cells.join(' | ')} |`];
  });
  return ['| fault | what is done | SQLite | PostgreSQL |', '| --- | --- | --- | --- |', ...rows].join('\n');
}

function cell(result: Result | undefined): string {
  if (result === undefined) return '–';
  const { rounds, broken, missed = [] } = result;
  const outcome = broken.length === 0 ? 'nothing broken' : `**${broken.length} broken**`;
  const told = [outcome, ...missed.map((goal) => `goal missed: ${goal}`)].join('; ');
  return `${rounds} ${rounds === 1 ? 'round' : 'rounds'}, ${told}`;
}
