import type { Measurement } from './load/generator.ts';
import { generate, loadOf } from './measure.ts';
import { onMuster } from './on-muster.ts';
import { readOptions } from './options.ts';
import { ms, whole } from './report/format.ts';
import { median } from './report/summary.ts';

/**
 * `npm run beside-tasks`: look-ups at an even rate on an idle service, and while a thousand tasks of one second run at
 * once; and how long all those take. Takes `--users`, `--databases` and `--rounds` of `npm run bench`.
 */
const TASKS = 1000;
const TASK_MS = 1000;
const LOOKUPS_PER_SECOND = 1000;
const WINDOW_SECONDS = 4;

const options = { ...readOptions(process.argv.slice(2)), seconds: WINDOW_SECONDS };
const rows: Record<string, string>[] = [];
await onMuster(
  options,
  async (started, database, users) => {
    const lookups = async (tag: string) => {
      const directory = { users, tag, besideDatabase: database === 'postgresql' };
      return generate({
        ...(await loadOf('lookup', started, directory, options)),
        rate: LOOKUPS_PER_SECOND,
        sleeps: true,
      });
    };
    const [idle, busy, took]: [Measurement[], Measurement[], number[]] = [[], [], []];
    await lookups('warm');
    await runTasks(started.port);
    for (let round = 0; round < options.rounds; round++) {
      idle.push(await lookups(`idle${round}`));
      const measured = lookups(`busy${round}`);
      // Into the window, and out of it before its end.
      await new Promise((resolve) => setTimeout(resolve, options.warmUpSeconds * 1000 + 800));
      took.push(await runTasks(started.port));
      busy.push(await measured);
    }
    const p99 = (all: readonly Measurement[]) => median(all.map(({ p99Ms }) => p99Ms));
    rows.push({
      database,
      users: whole(users),
      [`${whole(TASKS)} tasks of ${TASK_MS} ms, ms`]: ms(median(took)),
      'p99 idle, ms': ms(p99(idle)),
      'p99 beside them, ms': ms(p99(busy)),
      ratio: (p99(busy) / p99(idle)).toFixed(2),
    });
  },
  { env: { TASK_CONCURRENCY: String(TASKS) }, shares: true },
);
console.table(rows);

/** Enqueues all with one `gather` and waits for its end; gives the time from request to answer. */
async function runTasks(port: number): Promise<number> {
  const tasks = Array.from({ length: TASKS }, () => ({ kind: 'sleep', input: { ms: TASK_MS } }));
  const from = performance.now();
  const base = `http://127.0.0.1:${port}`;
  const created = await fetch(`${base}/tasks`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ kind: 'gather', input: { tasks } }),
  });
  const ended = await fetch(`${base}${created.headers.get('location')}`, { headers: { prefer: 'wait=60' } });
  const { state, progress } = (await ended.json()) as { state: string; progress: { done: number } };
  if (state !== 'succeeded' || progress.done !== TASKS) throw new Error(`the tasks did not end: ${state}`);
  return performance.now() - from;
}
