import { openAsBlob } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Work } from './beside.ts';
import { writePeople } from './people.ts';

/** An import by Muster, from outside, as any client would ask for it. */
export interface Task {
  id: number;
  state: string;
  startedAt?: string;
  finishedAt?: string;
  progress?: { done: number; total: number };
  result?: Record<string, number>;
  error?: unknown;
}

/** Sends a file; gives the path of its task. */
export async function sendFile(port: number, file: string): Promise<string> {
  const answer = await fetch(`http://127.0.0.1:${port}/users/import`, {
    method: 'POST',
    headers: { 'content-type': 'text/csv' },
    body: await openAsBlob(file),
  });
  const path = answer.headers.get('location');
  if (answer.status !== 202 || path === null)
    throw new Error(`the import was answered with ${answer.status}`);
  return path;
}

export async function readTask(port: number, path: string): Promise<Task> {
  return (await (await fetch(`http://127.0.0.1:${port}${path}`)).json()) as Task;
}

/** Waits until `isReached`, or the end of the task, and gives it as it then is. */
export async function watchTask(
  port: number,
  path: string,
  isReached: (task: Task) => boolean = () => false,
): Promise<Task> {
  for (;;) {
    const task = await readTask(port, path);
    if (isReached(task) || isFinished(task)) return task;
    await sleep(100);
  }
}

export function isFinished({ state }: Task): boolean {
  return ['succeeded', 'failed', 'cancelled'].includes(state);
}

/** @throws {Error} unless it has succeeded, with as many users and refused rows as the file has */
export function requireDone(task: Task, { created, refused }: { created: number; refused: number }): void {
  const { result } = task;
  const others = ['updated', 'unchanged', 'skipped'].some((name) => result?.[name] !== 0);
  if (task.state === 'succeeded' && result?.created === created && result.refused === refused && !others)
    return;
  throw new Error(`the import has ${task.state}: ${JSON.stringify(result ?? task.error)}`);
}

/** More than are imported during a window. */
const BESIDE_ROWS = 250_000;

/** What requests are measured beside: an import for each window, which ends with it. */
export function importing(port: number, folder: string): Work {
  const file = join(folder, 'beside.csv');
  let imports = 0;
  let path = '';
  return {
    async start() {
      await writePeople(file, { tag: `beside${++imports}`, rows: BESIDE_ROWS });
      path = await sendFile(port, file);
      await watchTask(port, path, ({ progress }) => (progress?.done ?? 0) > 0);
    },
    async stop() {
      if (isFinished(await readTask(port, path))) throw new Error('an import has ended before its window');
      await fetch(`http://127.0.0.1:${port}${path}/cancel`, { method: 'POST' });
      await watchTask(port, path);
    },
  };
}
