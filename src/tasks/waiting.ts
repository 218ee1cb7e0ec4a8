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
    last = (await watch.glance(task.id)) ?? last;
    if (!isFinished(last)) await changed;
  }
  // Nobody waits any longer, or the database is about to be closed.
  if (signal.aborted || last === task) return task;
  return (await watch.find(task.id)) ?? task;
}

/** What happens to a task from now to its end. */
export async function* taskEvents(
  { watch }: TaskQueue,
  task: TaskView,
  signal: AbortSignal,
): AsyncGenerator<StreamEvent> {
  let shown = '';
  let progress = '';
  for (let last: TaskView | undefined = task; last !== undefined; ) {
    const changed = watch.next(signal);
    const state = stateOf(last);
    const isNews = JSON.stringify(last.progress ?? null) !== progress;
    if (state !== shown) yield { event: 'state', data: last };
    else if (isNews && last.progress !== undefined) yield { event: 'progress', data: last.progress };
    shown = state;
    progress = JSON.stringify(last.progress ?? null);
    if (isFinished(last)) return;
    await changed;
    if (signal.aborted) return;
    // The whole of it is shown only when its state is another.
    last = await watch.glance(task.id);
    if (last !== undefined && stateOf(last) !== shown) last = await watch.find(task.id);
  }
}

function stateOf({ state, attempt, cancelRequestedAt }: TaskView): string {
  return `${state} ${attempt} ${cancelRequestedAt?.getTime()}`;
}
