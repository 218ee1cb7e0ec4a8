import { setTimeout as wait } from 'node:timers/promises';
import { readAll } from '../support/fetch.ts';
import type { Client } from './client.ts';
import type { History, Task } from './history.ts';

/** A lease lasts for 15 seconds, and an import that lost its database waits for longer and longer. */
const WITHIN_MS = 90_000;
/** A task for so much later was to be cancelled, and nobody knew whether it was there. */
const FAR_MS = 600_000;
/** So many are read at once: the client's time for an answer runs while a request waits for a connection. */
const LANES = 32;

type Open = Task & { runAt?: string };

/** Waits until everything that was begun has ended, or has had its time: whoever is left then is found by the checker. */
export async function settle(base: string, client: Client): Promise<void> {
  const until = performance.now() + WITHIN_MS;
  do {
    const open: Open[] = [];
    for (const state of ['scheduled', 'queued', 'running'])
      open.push(...(await readAll<Task>(base, `/tasks?limit=1000&state=${state}`)));
    const waited: Open[] = [...open.filter(isWaitedFor), ...(await retryParked(base, client))];
    if (waited.length === 0) return;
    for (const { id, runAt } of waited)
      if (runAt !== undefined && Date.parse(runAt) - Date.now() > FAR_MS)
        await client.send(base, 'POST', `/tasks/${id}/cancel`);
    await wait(200);
  } while (performance.now() < until);
}

/** What has lost its process three times in a row is parked until somebody looks at it: here the kills were to blame. */
async function retryParked(base: string, client: Client): Promise<Task[]> {
  const failed = await readAll<Task>(base, '/tasks?limit=1000&state=failed');
  const parked = failed.filter(isParked);
  for (const { id } of parked) await client.send(base, 'POST', `/tasks/${id}/retry`);
  return parked;
}

function isParked({ error }: Task): boolean {
  return error?.code === 'process-lost';
}

/** A delivery to somebody who does not take it waits for hours, as it should. */
export function isWaitedFor({ kind }: Task): boolean {
  return kind !== 'deliver';
}

/** All tasks; those whose result matters one by one, because a list has none. */
export async function readTasks(base: string, client: Client, { acts, errands }: History): Promise<Task[]> {
  const all = (await readAll<Task>(base, '/tasks?limit=1000')).filter(isWaitedFor);
  const keys = new Set(errands.filter(({ children }) => children !== undefined).map(({ mark }) => mark));
  const ids = new Set(acts.flatMap(({ taskId }) => taskId ?? []));
  const read: Task[] = [];
  for (let at = 0; at < all.length; at += LANES) {
    const some = all.slice(at, at + LANES).map(async (task) => {
      const isWhole = !ids.has(task.id) && !keys.has(task.dedupeKey ?? '');
      return isWhole ? task : readTask(base, client, task.id);
    });
    read.push(...(await Promise.all(some)));
  }
  return read;
}

/** @throws when nobody answers */
async function readTask(base: string, client: Client, id: number): Promise<Task> {
  for (let attempt = 0; ; attempt++) {
    const { status, body } = await client.send(base, 'GET', `/tasks/${id}`);
    if (status !== 0 && status !== 503) return body as Task;
    if (attempt === 20) throw new Error(`GET /tasks/${id}: ${status}`);
    await wait(200);
  }
}
