import type { User } from '../../src/users/users.schemas.ts';
import { type Act, type Errand, type Fate, History, type Task } from '../torture/history.ts';
import type { Evidence } from '../torture/judge.ts';
import { type Taken, take } from '../torture/log-invariants.ts';
import { type Change, fold } from './log.ts';

const AT = '2026-11-25T12:00:00.000Z';

/**
 * A made-up history of the torture in which all is true, with whatever may happen in it once: for tests to plant a fault in.
 * `creates` makes it so much longer.
 */
export function trueHistory({ creates = 0 } = {}): Evidence {
  const history = new History();
  const log: Change[] = [];
  const write = (type: string, userId: number, user: User | null) => {
    const version = log.filter((one) => one.userId === userId).length + 1;
    const changedFields = user === null ? [] : ['attributes'];
    const position = 2 * log.length + 1;
    log.push({
      position,
      type,
      userId,
      version,
      user: structuredClone(user),
      changedFields,
      actor: null,
      at: AT,
    });
  };
  const acted = (does: Act['does'], fate: Fate, more: Partial<Act> & { mark: string }) =>
    void history.acts.push({ does, fate, changes: 1, ...more });
  const created = (id: number, mark: string, more: Partial<Act> = {}, email?: string) => {
    const user = userOf(id, mark, email);
    write('user.created', id, user);
    const isKnown = more.fate === undefined;
    acted('create', 'acknowledged', { mark, ...(isKnown && { userId: id, answer: user }), ...more });
  };
  const patched = (id: number, mark: string) => {
    const user = { ...userOf(id, mark, log.find(({ userId }) => userId === id)?.user?.email), version: 2 };
    write('user.updated', id, user);
    acted('patch', 'acknowledged', { mark, userId: id, answer: user });
  };
  const deleted = (id: number) => {
    write('user.deleted', id, null);
    acted('delete', 'acknowledged', { mark: `delete ${id}`, userId: id });
  };

  created(1, 'w0.1');
  patched(1, 'w0.2');
  write('user.created', 2, { ...userOf(2, 'w0.3'), attributes: {} });
  acted('create', 'acknowledged', { mark: 'w0.3@example.com', userId: 2 }); // by the tutorial's route
  deleted(2);
  created(3, 'w0.4');
  patched(3, 'w0.5');
  write('user.deleted', 3, null);
  write('user.erased', 3, null);
  acted('erase', 'acknowledged', { mark: 'erase 3', userId: 3, taskId: 1 });
  for (const row of [0, 1])
    write('user.created', 4 + row, userOf(4 + row, 'w0.6', `w0.6.${row}@example.com`));
  acted('import', 'acknowledged', { mark: 'w0.6', changes: 2, taskId: 2 });
  created(6, 'w0.7', { fate: 'unknown' });
  created(7, 'w0.8', { once: true });
  created(8, 'w0.9', {}, 'One@Example.com');
  deleted(8);
  created(9, 'w0.10', {}, 'one@example.com');
  for (let id = 100; id < 100 + creates; id++) created(id, `w1.${id}`);
  acted('create', 'refused', { mark: 'w0.11' });
  acted('patch', 'refused', { mark: 'w0.12', userId: 1 });
  acted('patch', 'refused', { mark: 'w0.13', userId: 3 });
  acted('delete', 'refused', { mark: 'delete 1', userId: 1 });
  acted('erase', 'refused', { mark: 'erase 9', userId: 9 });
  acted('import', 'refused', { mark: 'w0.14', changes: 2 });
  acted('create', 'unknown', { mark: 'w0.15' });
  acted('import', 'unknown', { mark: 'w0.16', changes: 2 });

  // Who listens hears of user 3 before they are erased.
  const followed = [structuredClone(log), structuredClone(log)];
  const taken = takenOf(structuredClone(log));
  for (const change of log) if (change.userId === 3) Object.assign(change, { user: null, changedFields: [] });

  const tasks = tasksOf(history.errands);
  const sleep = tasks.find(({ dedupeKey }) => dedupeKey === 'w2.1');
  if (sleep !== undefined) history.sawTask({ ...sleep });
  return {
    history,
    log,
    users: structuredClone(fold(log)),
    tasks,
    tasksLater: structuredClone(tasks),
    heard: { followed, taken: [taken], strange: [] },
    undocumented: [],
    changed: [],
  };
}

/** What a webhook was sent that was sent these, each once. */
export function takenOf(changes: readonly Change[]): Taken {
  const taken: Taken = { ids: new Map(), changes: [] };
  for (const change of changes) take(taken, `msg_1_${change.position}`, change);
  return taken;
}

function userOf(id: number, mark: string, email = `${mark}@example.com`): User {
  return { id, name: 'Worker 0', email, attributes: { mark }, version: 1, createdAt: AT, updatedAt: AT };
}

function tasksOf(errands: Errand[]): Task[] {
  const task = (id: number, kind: string, more: Partial<Task> = {}): Task => ({
    id,
    kind,
    state: 'succeeded',
    attempt: 1,
    finishedAt: AT,
    ...more,
  });
  const wanted = (mark: string, fate: Fate, more: Partial<Errand> & { ids: Set<number> }) =>
    void errands.push({ mark, fate, ends: ['succeeded'], ...more });
  wanted('w2.1', 'acknowledged', { ids: new Set([3]) });
  wanted('w2.2', 'acknowledged', { ids: new Set([4]), children: 2 });
  wanted('w2.3', 'unknown', { ids: new Set() });
  wanted('w2.4', 'unknown', { ids: new Set() });
  wanted('w2.5', 'refused', { ids: new Set() });
  const counted = { created: 2, updated: 0, unchanged: 0, skipped: 0, refused: 0 };
  return [
    task(1, 'erase'),
    task(2, 'import', { result: counted }),
    task(3, 'sleep', { dedupeKey: 'w2.1' }),
    task(4, 'gather', { dedupeKey: 'w2.2', result: { tasks: [{ id: 5 }, { id: 6 }] } }),
    task(5, 'sleep', { parentId: 4 }),
    task(6, 'sleep', { parentId: 4 }),
    task(7, 'sleep', { dedupeKey: 'w2.3', state: 'cancelled' }),
  ];
}
