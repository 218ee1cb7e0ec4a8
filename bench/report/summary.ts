import type { Measurement } from '../load/generator.ts';
import type { Machine } from '../machine/describe.ts';
import type { Turn } from '../measure.ts';
import type { DatabaseName } from '../options.ts';
import { HAND_WRITTEN } from '../servers.ts';
import { WORK_NAMES, type WorkName } from '../works.ts';

/** One database of one size, with every turn that was taken on it. */
export interface Group {
  database: DatabaseName;
  users: number;
  turns: Turn[];
  failures: { server: string; problem: string }[];
  rows: Row[];
}

export interface Report {
  machine: Machine;
  options: { rounds: number; seconds: number; warmUpSeconds: number; connections: number };
  skipped: { server: string; title: string; reason: string }[];
  groups: Group[];
}

/** Medians of the rounds of one server in one work; the peak of memory is the highest. */
export interface Row {
  work: WorkName;
  server: string;
  throughput: number;
  /** Beside the hand-written server's throughput. */
  ratio: number | undefined;
  p50Ms: number;
  p99Ms: number;
  cpuMicros: number;
  peakBytes: number;
  idleBytes: number;
  rated: { rate: number; achieved: number; p99Ms: number } | undefined;
  generatorShare: number;
  foreignShare: number;
  /** An answer that was not 2xx: the row does not count. */
  problem: string | undefined;
}

export function summarise(turns: readonly Turn[]): Row[] {
  const servers = [...new Set(turns.map(({ server }) => server))];
  const rows = WORK_NAMES.flatMap((work) =>
    servers.flatMap((server) => {
      const row = rowOf(
        work,
        server,
        turns.filter((turn) => turn.server === server),
      );
      return row === undefined ? [] : [row];
    }),
  );
  for (const row of rows) {
    const limit = rows.find(({ work, server }) => work === row.work && server === HAND_WRITTEN);
    if (limit !== undefined) row.ratio = row.throughput / limit.throughput;
  }
  return rows;
}

function rowOf(work: WorkName, server: string, turns: readonly Turn[]): Row | undefined {
  const measured = turns.flatMap(({ highest }) => highest[work] ?? []);
  if (measured.length === 0) return undefined;
  const rated = turns.flatMap((turn) => turn.rated[work] ?? []);
  const middle = (value: (measurement: Measurement) => number) => median(measured.map(value));
  const rate = rated[0]?.rate;
  return {
    work,
    server,
    throughput: middle(({ throughput }) => throughput),
    ratio: undefined,
    p50Ms: middle(({ p50Ms }) => p50Ms),
    p99Ms: middle(({ p99Ms }) => p99Ms),
    cpuMicros: middle(({ cpuMicros }) => cpuMicros),
    peakBytes: Math.max(...measured.map(({ peakBytes }) => peakBytes)),
    idleBytes: median(turns.map(({ idleBytes }) => idleBytes)),
    rated:
      rate === undefined
        ? undefined
        : {
            rate,
            achieved: median(rated.map(({ throughput }) => throughput)),
            p99Ms: median(rated.map(({ p99Ms }) => p99Ms)),
          },
    generatorShare: middle(({ generatorShare }) => generatorShare),
    foreignShare: middle(({ foreignShare }) => foreignShare),
    problem: problemOf([...measured, ...rated]),
  };
}

function problemOf(measured: readonly Measurement[]): string | undefined {
  const errors = measured.reduce((sum, measurement) => sum + measurement.errors, 0);
  return errors === 0 ? undefined : `${errors} errors: ${measured.find((m) => m.errors > 0)?.firstProblem}`;
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const [low = Number.NaN, high = Number.NaN] = [sorted[middle - 1], sorted[middle]];
  return sorted.length % 2 === 1 ? high : (low + high) / 2;
}

export function find(group: Group, work: WorkName, server: string): Row | undefined {
  const row = group.rows.find((one) => one.work === work && one.server === server);
  return row?.problem === undefined ? row : undefined;
}
