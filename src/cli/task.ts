import { setTimeout as wait } from 'node:timers/promises';
import { Away, patiently, Refused, type Service } from './service.ts';

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

/** Before a stream that broke is opened again. */
const PAUSE_MS = 500;

/**
 * Follows a task to its end over any number of streams that break and restarts of the service: between two streams it is
 * looked at, and only when the service is away for `patienceMs` is it given up. When `signal` is aborted the task is
 * cancelled, and followed on.
 */
export async function followTask(
  service: Service,
  id: number,
  options: { patienceMs: number; signal: AbortSignal; onProgress(progress: TaskProgress): void },
): Promise<Task> {
  const { patienceMs, signal, onProgress } = options;
  const cancelled = Promise.withResolvers<never>();
  cancelled.promise.catch(() => {}); // heard below, if we are still there
  const cancel = () => cancelTask(service, id, patienceMs).catch(cancelled.reject);
  if (signal.aborted) void cancel();
  else signal.addEventListener('abort', cancel, { once: true });
  const follow = async () => {
    for (;;) {
      const task = (await patiently(patienceMs, () => service.json('GET', `/tasks/${id}`))) as Task;
      if (task.progress !== undefined) onProgress(task.progress);
      if (hasEnded(task)) return task;
      await streamProgress(service, id, onProgress);
    }
  };
  try {
    return await Promise.race([follow(), cancelled.promise]);
  } finally {
    signal.removeEventListener('abort', cancel);
  }
}

function hasEnded({ state }: Task): boolean {
  return state === 'succeeded' || state === 'failed' || state === 'cancelled';
}

/** Until the stream ends, as it does with the task, or breaks. */
async function streamProgress(
  service: Service,
  id: number,
  onProgress: (progress: TaskProgress) => void,
): Promise<void> {
  try {
    let isOver = false;
    await service.events(`/tasks/${id}`, (event, data) => {
      if (event === 'progress') onProgress(data as TaskProgress);
      if (event === 'state') isOver = hasEnded(data as Task);
    });
    if (isOver) return;
  } catch (error) {
    if (!(error instanceof Away)) throw error;
  }
  await wait(PAUSE_MS);
}

async function cancelTask(service: Service, id: number, patienceMs: number): Promise<void> {
  try {
    await patiently(patienceMs, () => service.json('POST', `/tasks/${id}/cancel`));
  } catch (error) {
    // It has ended in the meantime.
    if (!(error instanceof Refused && error.status === 409)) throw error;
  }
}
