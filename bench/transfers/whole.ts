import { setTimeout as sleep } from 'node:timers/promises';
import { peakBytes, resetPeak } from '../machine/proc.ts';
import type { ServerProcess } from '../machine/server-process.ts';
import { generate, loadOf } from '../measure.ts';
import type { Options } from '../options.ts';
import { requireExact } from './exact.ts';
import { requireDone, sendFile, watchTask } from './muster.ts';
import { brokenOf, type PeopleFile } from './people.ts';

/** A whole file, imported by a service that has answered look-ups and does nothing else. */
export interface WholeImport {
  /** Rows a second, from the first byte that is sent to the end of the task. */
  rate: number;
  /** Rows a second of the task alone, when the file is there. */
  taskRate: number;
  /** The time of the last tenth of the rows, as a part of that of the first. */
  lastTenth: number;
  aboveIdleBytes: number;
}

const SETTLES_MS = 1000;

/** @throws {Error} unless the table, the log and the refused rows are then exactly what the file says */
export async function importWhole(
  started: ServerProcess,
  url: string,
  path: string,
  file: PeopleFile,
  directory: { users: number; besideDatabase: boolean },
  options: Options,
): Promise<WholeImport> {
  const { port, pid } = started;
  await generate(await loadOf('lookup', started, { ...directory, tag: 'warm' }, options));
  await sleep(SETTLES_MS);
  const idle = started.idleBytes();
  resetPeak(pid);
  const from = Date.now();
  const location = await sendFile(port, path);
  const seen: Seen[] = [];
  const task = await watchTask(port, location, ({ progress }) => {
    seen.push({ at: performance.now(), done: progress?.done ?? 0 });
    return false;
  });
  const broken = brokenOf(file);
  requireDone(task, { created: file.rows - broken, refused: broken });
  const aboveIdleBytes = peakBytes(pid) - idle;
  await requireExact(url, file, { seeded: directory.users, task: task.id });
  const end = Date.parse(task.finishedAt ?? '');
  const perSecond = (ms: number) => (file.rows / ms) * 1000;
  return {
    rate: perSecond(end - from),
    taskRate: perSecond(end - Date.parse(task.startedAt ?? '')),
    lastTenth: tenthRate(seen, file.rows, 0) / tenthRate(seen, file.rows, 9),
    aboveIdleBytes,
  };
}

interface Seen {
  at: number;
  done: number;
}

function tenthRate(seen: readonly Seen[], rows: number, tenth: number): number {
  const within = seen.filter(({ done }) => done >= (rows * tenth) / 10 && done <= (rows * (tenth + 1)) / 10);
  const [first, last] = [within.at(0), within.at(-1)];
  if (first === undefined || last === undefined) return Number.NaN;
  return (last.done - first.done) / (last.at - first.at);
}
