import { setTimeout as wait } from 'node:timers/promises';
import { patiently, Refused, type Service } from './service.ts';

export interface TaskProgress {
  done: number;
  total?: number;
  bytes?: number;
  totalBytes?: number;
}

/** What an import counts. */
export const COUNTS = ['created', 'updated', 'unchanged', 'skipped', 'refused'] as const;

/** Of a task what the commands read. */
export interface Task {
  id: number;
  state: 'scheduled' | 'queued' | 'running' | 'succeeded' | 'failed' | 'cancelled';
  progress?: TaskProgress;
  result?: Partial<Record<(typeof COUNTS)[number], number>>;
  error?: { message: string };
}

/** Between two looks: at first so long, that what is small ends at once, then longer and longer. */
const LEAST_PAUSE_MS = 50;
const LONGEST_PAUSE_MS = 1000;

/**
 * Follows a task to its end, by looking at it. Only when the service is away for `patienceMs` is it given up. When `signal`
 * is aborted the task is cancelled, and followed on.
 */
export async function followTask(
  service: Service,
  id: number,
  options: { patienceMs: number; signal: AbortSignal; onProgress(progress: TaskProgress): void },
): Promise<Task> {
  const { patienceMs, signal, onProgress } = options;
  let isCancelled = false;
  for (let pauseMs = LEAST_PAUSE_MS; ; pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS)) {
    if (signal.aborted && !isCancelled) {
      await cancelTask(service, id, patienceMs);
      isCancelled = true;
    }
    const task = (await patiently(patienceMs, () => service.json('GET', `/tasks/${id}`))) as Task;
    if (task.progress !== undefined) onProgress(task.progress);
    if (['succeeded', 'failed', 'cancelled'].includes(task.state)) return task;
    await wait(pauseMs, undefined, isCancelled ? {} : { signal }).catch(() => {}); // it is aborted
  }
}

async function cancelTask(service: Service, id: number, patienceMs: number): Promise<void> {
  try {
    await patiently(patienceMs, () => service.json('POST', `/tasks/${id}/cancel`));
  } catch (error) {
    // It has ended in the meantime.
    if (!(error instanceof Refused && error.status === 409)) throw error;
  }
}
