import type { Measurement } from '../load/generator.ts';
import type { ServerProcess } from '../machine/server-process.ts';
import { generate, loadOf } from '../measure.ts';
import type { Options } from '../options.ts';
import { median } from '../report/summary.ts';

/** What is asked of the service beside other work, each in windows of its own. */
export const BESIDE = ['lookup', 'create', 'list'] as const;
const REQUESTS_PER_SECOND = 200;

/** Medians of the rounds. */
export interface Beside {
  work: (typeof BESIDE)[number];
  idleP99Ms: number;
  busyP99Ms: number;
  idleP50Ms: number;
  busyP50Ms: number;
}

export interface Work {
  /** Resolves when it is under way. */
  start(): Promise<void>;
  /** @throws {Error} unless it was under way until now */
  stop(): Promise<void>;
}

/** Measures idle and beside the work of `begin`, in turn: a window alone is chance. */
export async function measureBeside(
  started: ServerProcess,
  { users, besideDatabase }: { users: number; besideDatabase: boolean },
  options: Options,
  work: Work,
): Promise<Beside[]> {
  let windows = 0;
  const ask = async (name: Beside['work']) => {
    const directory = { users, tag: `beside${++windows}`, besideDatabase };
    const load = await loadOf(name, started, directory, options);
    const measured = await generate({ ...load, rate: REQUESTS_PER_SECOND, sleeps: true });
    if (measured.errors > 0) throw new Error(`${name}: ${measured.errors} errors, ${measured.firstProblem}`);
    return measured;
  };
  for (const name of BESIDE) await ask(name); // compiles the code
  const all: Beside[] = [];
  for (const name of BESIDE) {
    const [idle, busy]: [Measurement[], Measurement[]] = [[], []];
    for (let round = 0; round < options.rounds; round++) {
      idle.push(await ask(name));
      await work.start();
      busy.push(await ask(name));
      await work.stop();
    }
    const of = (windows: readonly Measurement[], key: 'p50Ms' | 'p99Ms') =>
      median(windows.map((one) => one[key]));
    all.push({
      work: name,
      idleP99Ms: of(idle, 'p99Ms'),
      busyP99Ms: of(busy, 'p99Ms'),
      idleP50Ms: of(idle, 'p50Ms'),
      busyP50Ms: of(busy, 'p50Ms'),
    });
  }
  return all;
}
