import { isDeepStrictEqual } from 'node:util';
import type { Act, History, Task } from './history.ts';

const ENDS = ['succeeded', 'failed', 'cancelled'];

/** What tasks there are, with their results. */
export class Tasks {
  readonly all: readonly Task[];
  readonly #byId: Map<number, Task>;
  readonly #byKey: Map<string | undefined, Task[]>;
  readonly #children: Map<number | undefined, Task[]>;

  constructor(all: readonly Task[]) {
    this.all = all;
    this.#byId = new Map(all.map((task) => [task.id, task]));
    this.#byKey = Map.groupBy(all, ({ dedupeKey }) => dedupeKey);
    this.#children = Map.groupBy(all, ({ parentId }) => parentId);
  }

  find(id: number | undefined): Task | undefined {
    return id === undefined ? undefined : this.#byId.get(id);
  }

  withKey(key: string): Task[] {
    return this.#byKey.get(key) ?? [];
  }

  childrenOf(id: number): Task[] {
    return this.#children.get(id) ?? [];
  }
}

/** Each acknowledged one is there once, a refused one is not, and it ended as it had to. */
export function everyTaskIsSettled({ errands }: History, tasks: Tasks): string[] {
  return errands.flatMap(({ mark, fate, ids, ends, children }) => {
    const found = tasks.withKey(mark);
    const counts = { acknowledged: [1], refused: [0], unknown: [0, 1] }[fate];
    const name = `the ${fate} task ${mark}`;
    if (!counts.includes(found.length)) return [`${name} is there ${found.length} times`];
    const [task] = found;
    if (task === undefined) return [];
    const strange = [...ids].filter((id) => id !== task.id);
    if (strange.length > 0) return [`${name} is ${task.id}, and was answered as ${strange.join(', ')}`];
    const isNotCancelled = fate === 'unknown' && task.state === 'cancelled';
    if (!ends.includes(task.state) && !isNotCancelled) return [`${name} ended as ${JSON.stringify(task)}`];
    return children === undefined ? [] : childrenAreSettled(name, task, children, tasks);
  });
}

function childrenAreSettled(name: string, task: Task, count: number, tasks: Tasks): string[] {
  const children = tasks.childrenOf(task.id);
  const isWhole = children.length === count && children.every(({ state }) => state === 'succeeded');
  if (!isWhole) return [`${name} has the children ${JSON.stringify(children)}, not ${count}`];
  const { tasks: listed = [] } = (task.result ?? {}) as { tasks?: { id: number }[] };
  const inOrder = children.map(({ id }) => id).sort((a, b) => a - b);
  const isListed = isDeepStrictEqual(
    listed.map(({ id }) => id),
    inOrder,
  );
  return isListed ? [] : [`${name} lists ${JSON.stringify(listed)}, not ${inOrder.join(', ')}`];
}

/** What had ended stays as it was seen then. An erasure may have taken something out of it, but not when it ended. */
export function noTaskIsSettledTwice({ ended }: History, tasks: Tasks): string[] {
  return [...ended].flatMap(([id, before]) => {
    const now = tasks.find(id);
    const { state, attempt, finishedAt } = before;
    const isSame = isDeepStrictEqual(
      { state, attempt, finishedAt },
      { state: now?.state, attempt: now?.attempt, finishedAt: now?.finishedAt },
    );
    return isSame ? [] : [`task ${id} ended as ${JSON.stringify(before)}, and is ${JSON.stringify(now)}`];
  });
}

export function noTaskIsLeft(tasks: Tasks): string[] {
  return tasks.all
    .filter(({ state }) => !ENDS.includes(state))
    .map((task) => `a task is left: ${JSON.stringify(task)}`);
}

/** The tasks behind imports and erasures: each row went in once, however often the task was begun. */
export function workWasDoneOnce({ acts }: History, tasks: Tasks): string[] {
  return acts.flatMap((act) => {
    if (act.taskId === undefined) return [];
    const task = tasks.find(act.taskId);
    if (task === undefined) return [`task ${act.taskId} of ${act.does} ${act.mark} is lost`];
    if (task.state !== 'succeeded') return [`${act.does} ${act.mark} ended as ${JSON.stringify(task)}`];
    return act.does === 'import' ? importCounted(act, task) : [];
  });
}

function importCounted({ mark, changes }: Act, { result }: Task): string[] {
  const expected = { created: changes, updated: 0, unchanged: 0, skipped: 0, refused: 0 };
  return isDeepStrictEqual(result, expected) ? [] : [`import ${mark} counted ${JSON.stringify(result)}`];
}
