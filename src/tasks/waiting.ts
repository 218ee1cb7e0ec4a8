import type { StreamEvent } from '../http/sse.ts';
import { taskNotFound } from './control.ts';
import type { TaskQueue } from './queue.ts';
import { isFinished, type TaskView } from './view.ts';

/** @throws {NotFound} */
export async function findTask({ watch }: TaskQueue, id: number): Promise<TaskView> {
  const task = await watch.find(id);
  if (task === undefined) throw taskNotFound(id);
  return task;
}

/** The task when it has ended, after `ms` or when `signal` is aborted: whatever is first. */
export async function waitForEnd(
  { watch }: TaskQueue,
  task: TaskView,
  ms: number,
  signal: AbortSignal,
): Promise<TaskView> {
  const until = AbortSignal.any([signal, AbortSignal.timeout(ms)]);
  let last = task;
  while (!isFinished(last) && !until.aborted) {
    const changed = watch.next(until);
    last = (await watch.find(task.id)) ?? last;
    if (!isFinished(last)) await changed;
  }
  return last;
}

/** What happens to a task from now to its end. */
export async function* taskEvents(
  { watch }: TaskQueue,
  task: TaskView,
  signal: AbortSignal,
): AsyncGenerator<StreamEvent> {
  let shown = '';
  let progress = '';
  for (let last: TaskView | undefined = task; last !== undefined && !signal.aborted; ) {
    const changed = watch.next(signal);
    const state = `${last.state} ${last.attempt} ${last.cancelRequestedAt?.getTime()}`;
    const isNews = JSON.stringify(last.progress ?? null) !== progress;
    if (state !== shown) yield { event: 'state', data: last };
    else if (isNews && last.progress !== undefined) yield { event: 'progress', data: last.progress };
    shown = state;
    progress = JSON.stringify(last.progress ?? null);
    if (isFinished(last)) return;
    await changed;
    last = await watch.find(task.id);
  }
}
