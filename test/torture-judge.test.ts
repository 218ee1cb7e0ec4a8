import t from 'tap';
import {
  actOf,
  altered,
  changeOf,
  deliver,
  firstOf,
  follow,
  lose,
  make,
  moved,
  rewrite,
  taskOf,
  userLike,
} from './support/doctor.ts';
import { takenOf, trueHistory } from './support/true-history.ts';
import { type Evidence, judge } from './torture/judge.ts';
import { take } from './torture/log-invariants.ts';

/** What is planted, and the other invariants that it breaks, too. */
type Plant = [what: string, plant: (evidence: Evidence) => unknown, ...also: string[]];

const PLANTS: Record<string, Plant[]> = {
  'no acknowledged write lost': [
    ['a create', (it) => lose(it, 9, 1)],
    ['a patch', (it) => lose(it, 1, 2)],
    ['a deletion', (it) => lose(it, 2, 2)],
    ['a row of an import', (it) => lose(it, 5, 1)],
    ['a patch that was made twice', (it) => make(it, 'user.updated', 1, 'w0.2')],
    ['another answer', (it) => Object.assign(actOf(it, 'w0.10').answer ?? {}, { name: 'Nobody' })],
    ['no answer', (it) => delete actOf(it, 'w0.2').answer],
    [
      'an answer with the id of somebody else',
      (it) => Object.assign(actOf(it, 'w0.3@example.com'), { userId: 1 }),
    ],
    [
      'what was repeated is not there',
      (it) => lose(it, 7, 1),
      'an unknown one is wholly there or not at all',
    ],
    [
      'or twice',
      (it) => make(it, 'user.created', 20, 'w0.8'),
      'an unknown one is wholly there or not at all',
    ],
  ],
  'no failed one present': [
    ['a create', (it) => make(it, 'user.created', 20, 'w0.11'), 'nothing is made up'],
    ['a patch', (it) => make(it, 'user.updated', 1, 'w0.12'), 'nothing is made up'],
    ['a deletion', (it) => make(it, 'user.deleted', 1), 'nothing is made up'],
    ['a row of an import', (it) => make(it, 'user.created', 20, 'w0.14'), 'nothing is made up'],
    ['an erasure', (it) => make(it, 'user.erased', 9), 'the erased leave nothing', 'the erased are counted'],
  ],
  'an unknown one is wholly there or not at all': [
    ['half an import', (it) => make(it, 'user.created', 20, 'w0.16')],
    ['a create that is there twice', (it) => make(it, 'user.created', 20, 'w0.7')],
  ],
  'nothing is made up': [
    ['a create', (it) => make(it, 'user.created', 20, 'nobody')],
    ['a patch', (it) => make(it, 'user.updated', 6, 'nobody')],
    ['a deletion', (it) => make(it, 'user.deleted', 6)],
    ['the deletion of an erasure that was refused', (it) => make(it, 'user.deleted', 9)],
  ],
  'everybody reads what they wrote': [['what a worker misread', (it) => it.history.misread.push('')]],
  'the log rebuilds the table': [
    ['a row that is lost', (it) => it.users.pop()],
    ['a row too many', (it) => it.users.push(userLike(it, { id: 20, email: 'x@example.com' }))],
    ['a row that is there twice', (it) => it.users.push(firstOf(it.users))],
    ['another name', (it) => Object.assign(firstOf(it.users), { name: 'Nobody' })],
  ],
  'the log is in order': [
    ['a position that falls', (it) => rewrite(it, (all) => altered(all, 9, { position: 16 }))],
    [
      'a position that is there twice',
      (it) => rewrite(it, (all) => altered(all, 9, { position: 17 })),
      'every stream and webhook saw everything',
    ],
    ['a version that is left out', (it) => rewrite(it, (all) => altered(all, 3, { version: 3 }))],
    ['a version that is there twice', (it) => rewrite(it, (all) => altered(all, 3, { version: 1 }))],
  ],
  'emails are unique': [
    ['two at once', (it) => rewrite(it, (all) => numbered(moved(all, 14, 13)))],
    [
      'two in the table',
      (it) => it.users.push(userLike(it, { id: 20, email: 'W0.1@EXAMPLE.com' })),
      'the log rebuilds the table',
    ],
  ],
  'the erased leave nothing': [
    [
      'what they were',
      (it) => Object.assign(changeOf(it.log, 3), { user: changeOf(firstOf(it.heard.followed), 3).user }),
    ],
    ['what was changed', (it) => Object.assign(changeOf(it.log, 3), { changedFields: ['name'] })],
  ],
  'the erased are counted': [
    ['a create that is lost', (it) => lose(it, 3, 1)],
    ['a patch that is lost', (it) => lose(it, 3, 2)],
    ['the deletion that is lost', (it) => lose(it, 3, 3)],
    ['a patch that was refused', (it) => make(it, 'user.updated', 3)],
    ['a second deletion', (it) => make(it, 'user.deleted', 3)],
  ],
  'every stream and webhook saw everything': [
    ['a follower missed one', (it) => follow(it, (all) => all.toSpliced(4, 1))],
    ['or the last', (it) => follow(it, (all) => all.slice(0, -1))],
    ['or saw one twice', (it) => follow(it, (all) => all.toSpliced(4, 0, ...all.slice(4, 5)))],
    ['or one too many', (it) => follow(it, (all) => [...all, firstOf(all)])],
    ['or two in the wrong order', (it) => follow(it, (all) => moved(all, 9, 4))],
    ['or another user', (it) => follow(it, (all) => altered(all, 0, { user: null }))],
    [
      'or another version of one who was erased',
      (it) => follow(it, (all) => altered(all, 4, { version: 9 })),
    ],
    ['the second follower missed everything', ({ heard }) => heard.followed.splice(1, 1, [])],
    ['a follower was answered 500', ({ heard }) => heard.strange.push('')],
    ['a webhook was never sent one', (it) => deliver(it, (all) => all.toSpliced(4, 1))],
    ['or one too many', (it) => deliver(it, (all) => [...all, { ...firstOf(all), position: 1000 }])],
    ['or another user', (it) => deliver(it, (all) => altered(all, 0, { user: null }))],
    ['or the changes of a user in the wrong order', (it) => deliver(it, (all) => moved(all, 1, 0))],
    ['or one under two ids', ({ heard, log }) => take(firstOf(heard.taken), 'another', firstOf(log))],
    ['the second webhook was sent nothing', ({ heard }) => heard.taken.push(takenOf([]))],
  ],
  'every task is settled': [
    ['one is lost', ({ tasks }) => tasks.splice(2, 1)],
    ['one is there twice', ({ tasks }) => tasks.push({ ...taskOf(tasks, 3), id: 20 })],
    ['an unknown one is', ({ tasks }) => tasks.push({ ...taskOf(tasks, 7), id: 20 })],
    ['a refused one is there', ({ tasks }) => tasks.push({ ...taskOf(tasks, 3), id: 20, dedupeKey: 'w2.5' })],
    ['it was answered as another', ({ history }) => firstOf(history.errands).ids.add(20)],
    ['it failed', ({ tasks }) => Object.assign(taskOf(tasks, 3), { state: 'failed' })],
    ['it was cancelled by nobody', ({ tasks }) => Object.assign(taskOf(tasks, 3), { state: 'cancelled' })],
    ['an unknown one failed', ({ tasks }) => Object.assign(taskOf(tasks, 7), { state: 'failed' })],
    [
      'one of the service itself is left',
      ({ tasks }) => tasks.push({ ...taskOf(tasks, 1), id: 20, state: 'queued' }),
    ],
    [
      'a child is lost',
      ({ tasks }) => tasks.splice(3, 2, { ...taskOf(tasks, 4), result: { tasks: [{ id: 6 }] } }),
    ],
    ['a child is there twice', ({ tasks }) => tasks.push({ ...taskOf(tasks, 5), id: 20 })],
    ['a child failed', ({ tasks }) => Object.assign(taskOf(tasks, 5), { state: 'failed' })],
    [
      'a child is not in the result',
      ({ tasks }) => Object.assign(taskOf(tasks, 4), { result: { tasks: [{ id: 5 }] } }),
    ],
  ],
  'and once': [
    [
      'it ended again, later',
      ({ tasksLater }) => Object.assign(taskOf(tasksLater, 3), { finishedAt: 'later' }),
    ],
    ['or in another attempt', ({ tasksLater }) => Object.assign(taskOf(tasksLater, 3), { attempt: 2 })],
    ['or in another state', ({ tasksLater }) => Object.assign(taskOf(tasksLater, 3), { state: 'failed' })],
    ['it is gone', ({ tasksLater }) => tasksLater.splice(2, 1)],
    [
      'an import made its rows twice',
      ({ tasks }) => Object.assign(taskOf(tasks, 2), { result: { created: 4 } }),
    ],
    ['an import is lost', ({ tasks }) => tasks.splice(1, 1)],
    ['an erasure failed', ({ tasks }) => Object.assign(taskOf(tasks, 1), { state: 'failed' })],
  ],
  'back to normal': [['what a service has too much of', ({ changed }) => changed.push('')]],
  'only documented errors': [['what was answered', ({ undocumented }) => undocumented.push('')]],
};

function numbered<T>(changes: readonly T[]): T[] {
  return changes.map((one, at) => ({ ...one, position: at + 1 }));
}

function brokenIn(evidence: Evidence): string[] {
  return Object.entries(judge(evidence)).flatMap(([name, all]) => (all.length === 0 ? [] : [name]));
}

function brokenAfter(plant: Plant[1], options?: Parameters<typeof trueHistory>[0]): string[] {
  const evidence = trueHistory(options);
  plant(evidence);
  return brokenIn(evidence).sort();
}

t.test('a true history is found true, and every invariant has its faults', async (t) => {
  const evidence = trueHistory();
  t.strictSame(brokenIn(evidence), []);
  t.strictSame(Object.keys(PLANTS), Object.keys(judge(evidence)));
});

for (const [invariant, plants] of Object.entries(PLANTS))
  t.test(`planted, and found: ${invariant}`, async (t) => {
    for (const [what, plant, ...also] of plants)
      t.strictSame(brokenAfter(plant), [invariant, ...also].sort(), what);
  });

t.test('one that is lost among 200 is found, whichever it is', async (t) => {
  const long = { creates: 200 };
  for (const [at, { userId, version }] of trueHistory(long).log.entries()) {
    const without: Parameters<typeof follow>[1] = (all) => all.toSpliced(at, 1);
    const missed = ['every stream and webhook saw everything'];
    t.strictSame(
      brokenAfter((it) => follow(it, without), long),
      missed,
      `event ${at}`,
    );
    t.strictSame(
      brokenAfter((it) => deliver(it, without), long),
      missed,
      `message ${at}`,
    );
    if (userId === 6) continue; // of that one nobody knew
    t.not(brokenAfter((it) => lose(it, userId, version), long).length, 0, `change ${at}`);
  }
});
