import { DATABASE_TITLES } from '../report/format.ts';
import type { Beside } from './beside.ts';
import type { ExportGroup, ImportGroup, TransfersReport } from './report.ts';

/** What Muster promises of imports and exports, and what a run says of it. */
export interface Goal {
  text: string;
  wanted: string;
  found: string;
  met: boolean;
}

const MOST_ABOVE_IDLE_MB = 100;
const MOST_LAST_TENTH = 1.2;
const MOST_BESIDE = 2;
const LEAST_OF_BARE_IMPORT = 0.25;
const LEAST_OF_BARE_EXPORT = 0.5;

export function goalsOf(report: TransfersReport): Goal[] {
  return [
    ...(report.import?.groups ?? []).flatMap(importGoals),
    ...(report.export?.groups ?? []).flatMap(exportGoals),
  ];
}

function importGoals({ database, whole, bareRate, peers, beside, killedAt }: ImportGroup): Goal[] {
  const of = goalsFor(`${DATABASE_TITLES[database]}, import`);
  const best = peers.length === 0 ? undefined : Math.max(...peers.map(({ rate }) => rate));
  return [
    ...of.atMost('memory above idle, MB', inMegabytes(whole?.aboveIdleBytes), MOST_ABOVE_IDLE_MB),
    ...of.atMost('time of the last tenth beside the first', whole?.lastTenth, MOST_LAST_TENTH),
    ...of.atLeast('rate beside the database’s own tool', divide(whole?.rate, bareRate), LEAST_OF_BARE_IMPORT),
    ...of.atLeast('rate beside the best peer', divide(whole?.rate, best), 1),
    ...of.beside(beside),
    ...(killedAt === undefined ? [] : [of.exact(`exact after kill -9 at ${percents(killedAt)}`)]),
  ];
}

function exportGoals({ database, formats, bareRate, beside }: ExportGroup): Goal[] {
  const of = goalsFor(`${DATABASE_TITLES[database]}, export`);
  return [
    ...formats.flatMap(({ format, rate, growthBytes }) => [
      ...of.atMost(`${format}: growth of memory, MB`, inMegabytes(growthBytes), MOST_GROWTH_MB),
      ...of.atLeast(
        `${format}: rate beside the database’s own tool`,
        divide(rate, bareRate),
        LEAST_OF_BARE_EXPORT,
      ),
    ]),
    ...of.beside(beside),
  ];
}

/** Between the first quarter and the last: what a collection of garbage more or less leaves. */
const MOST_GROWTH_MB = 16;

function goalsFor(about: string) {
  const goal = (
    text: string,
    sign: string,
    limit: number,
    found: number | undefined,
    met: boolean,
  ): Goal[] =>
    found === undefined || !Number.isFinite(found)
      ? []
      : [{ text: `${about}: ${text}`, wanted: `${sign} ${limit}`, found: found.toFixed(2), met }];
  const atMost = (text: string, found: number | undefined, limit: number) =>
    goal(text, '≤', limit, found, (found ?? 0) <= limit);
  return {
    atMost,
    atLeast: (text: string, found: number | undefined, limit: number) =>
      goal(text, '≥', limit, found, (found ?? 0) >= limit),
    beside: (all: readonly Beside[] = []) =>
      all.flatMap(({ work, idleP99Ms, busyP99Ms }) =>
        atMost(`p99 of ${work} beside it, × idle`, busyP99Ms / idleP99Ms, MOST_BESIDE),
      ),
    exact: (text: string): Goal => ({ text: `${about}: ${text}`, wanted: 'yes', found: 'yes', met: true }),
  };
}

function percents(parts: readonly number[]): string {
  return parts.map((part) => `${Math.round(part * 100)} %`).join(', ');
}

function inMegabytes(bytes: number | undefined): number | undefined {
  return bytes === undefined ? undefined : bytes / 1e6;
}

function divide(one: number | undefined, other: number | undefined): number | undefined {
  return one === undefined || other === undefined ? undefined : one / other;
}
