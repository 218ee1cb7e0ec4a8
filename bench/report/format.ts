import { FOREIGN_LIMIT } from '../measure.ts';
import { SERVERS } from '../servers.ts';
import type { Row } from './summary.ts';

export const HEAD = [
  'server',
  'per second',
  '× hand-written',
  'p50 ms',
  'p99 ms',
  'CPU µs',
  'peak MB',
  'idle MB',
  'p99 ms at half load',
];

/** A row as text, in the columns of `HEAD`. */
export function cellsOf(row: Row): string[] {
  const name = titleOf(row.server);
  if (row.problem !== undefined) return [name, 'failed', row.problem, '', '', '', '', '', ''];
  return [
    name,
    whole(row.throughput) + marks(row),
    row.ratio === undefined ? '' : row.ratio.toFixed(2),
    ms(row.p50Ms),
    ms(row.p99Ms),
    row.cpuMicros.toFixed(row.cpuMicros < 100 ? 1 : 0),
    megabytes(row.peakBytes),
    megabytes(row.idleBytes),
    ratedCell(row),
  ];
}

/** Above this part of its core the generator, not the server, sets the limit. */
const GENERATOR_LIMIT = 0.95;

function marks({ generatorShare, foreignShare }: Row): string {
  return (generatorShare > GENERATOR_LIMIT ? ' ¹' : '') + (foreignShare > FOREIGN_LIMIT ? ' ²' : '');
}

/** What the marks mean, for those that are used. */
export function footnotes(rows: readonly Row[]): string[] {
  const used = rows.map(marks).join('');
  return [
    ...(used.includes('¹')
      ? ['¹ the load generator used more than 95 % of its own core: the server could do more than this']
      : []),
    ...(used.includes('²')
      ? ['² other processes took more than 10 % of the server’s core: the machine did something else as well']
      : []),
  ];
}

function ratedCell({ rated }: Row): string {
  if (rated === undefined) return '';
  const kept = rated.achieved > rated.rate * 0.98;
  return kept ? `${ms(rated.p99Ms)} (${whole(rated.rate)}/s)` : `cannot do ${whole(rated.rate)}/s`;
}

export function titleOf(server: string): string {
  return SERVERS.find(({ name }) => name === server)?.title ?? server;
}

export function whole(value: number): string {
  return Math.round(value).toLocaleString('en-GB');
}

export function ms(value: number): string {
  return value.toFixed(value < 10 ? 2 : 1);
}

export function megabytes(bytes: number): string {
  return String(Math.round(bytes / 2 ** 20));
}

export const DATABASE_TITLES = { sqlite: 'SQLite', postgresql: 'PostgreSQL' } as const;
