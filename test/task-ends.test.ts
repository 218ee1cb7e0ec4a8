import t from 'tap';
import { defineTask } from '../src/tasks/kinds.ts';
import { Slots } from '../src/tasks/slots.ts';
import { User } from '../src/users/user.entity.ts';
import { updateUser } from '../src/users/users.ts';
import { startApp } from './support/app.ts';
import { onEachDatabase } from './support/databases.ts';
import { settled } from './support/tasks.ts';

const Anything = { type: 'object', additionalProperties: true } as const;
const deep = (levels: number): unknown => (levels === 0 ? 1 : [deep(levels - 1)]);

onEachDatabase('what no database keeps fails its own task, and holds up no other', async (t, dialect) => {
  const results: Record<string, unknown> = { nul: 'a\0b', half: '\ud800', deep: deep(1500), fine: '\\u0000' };
  const ends = defineTask({
    kind: 'ends',
    description: 'Ends somehow.',
    input: Anything,
    maxAttempts: 1,
    async run({ input, progress }) {
      progress(Number.NaN, Number.POSITIVE_INFINITY);
      if (input.how === 'throws') throw Object.assign(new Error('bad\0row'), { code: 'E\ud800' });
      return results[String(input.how)];
    },
  });
  const { app } = await startApp(t, dialect, {}, { kinds: [ends] });
  const end = async (how: string) => {
    const task = await app.write((tx) => app.tasks.enqueue(tx, ends, { how }));
    return settled(app, task.id);
  };
  const [nul, half, tooDeep, throws, fine] = await Promise.all(
    ['nul', 'half', 'deep', 'throws', 'fine'].map(end),
  );
  t.match(nul, { state: 'failed', error: { code: 'result-not-kept' } });
  t.match(half, { state: 'failed', error: { code: 'result-not-kept' } });
  t.match(tooDeep, { state: 'failed', error: { code: 'result-too-deep' } });
  t.match(throws, { state: 'failed', error: { message: 'bad\ufffdrow', code: 'E\ufffd' } });
  t.match(fine, { state: 'succeeded', result: '\\u0000' });
});

t.test('an end that the database refuses keeps back no other', async (t) => {
  const gives = defineTask({
    kind: 'gives',
    description: 'Gives what it was given.',
    input: Anything,
    run: async ({ input }) => input.what,
  });
  const { app } = await startApp(t, 'sqlite', {}, { kinds: [gives] });
  await app.orm.em.fork().execute(
    `create trigger refuse before update on tasks when new.result = '"poison"' begin
       select raise(abort, 'not this one');
     end`,
  );
  const tasks = await app.write((tx) =>
    Promise.all(['a', 'poison', 'b'].map((what) => app.tasks.enqueue(tx, gives, { what }))),
  );
  const [a, poison, b] = await Promise.all(tasks.map(({ id }) => settled(app, id)));
  t.match(
    [a, b],
    [
      { state: 'succeeded', result: 'a' },
      { state: 'succeeded', result: 'b' },
    ],
  );
  t.match(poison, { state: 'failed', error: { code: 'end-not-kept' } });
});

t.test('a task waits for a user whose row another transaction holds', async (t) => {
  const rename = defineTask({
    kind: 'rename',
    description: 'Renames the first user.',
    input: Anything,
    maxAttempts: 1,
    async run({ save }) {
      await save(async (tx) => ({ version: (await updateUser(tx, 1, { name: 'Patient' })).version }));
    },
  });
  const { app, request } = await startApp(t, 'postgresql', {}, { kinds: [rename] });
  await request('POST', '/users', { json: { name: 'Ada', email: 'ada@example.com' } });
  const other = app.orm.em.fork();
  await other.begin();
  await other.execute('select id from users where id = 1 for update');
  const task = await app.write((tx) => app.tasks.enqueue(tx, rename, {}));
  const waits = `select 1 from pg_stat_activity where wait_event_type = 'Lock' and query like '%for update%'`;
  while ((await app.reader.read(waits, [])).length === 0) await app.tasks.watch.next();
  t.match(await app.tasks.watch.find(task.id), { state: 'running' });
  await other.rollback();
  t.match(await settled(app, task.id), { state: 'succeeded' });
  t.match(await app.orm.em.fork().findOne(User, 1), { name: 'Patient', version: 2 });
});

onEachDatabase('of a thousand tasks within one that are all wrong, the first is told', async (t, dialect) => {
  const { request } = await startApp(t, dialect);
  const tasks = Array.from({ length: 1000 }, () => 1);
  const answer = await request('POST', '/tasks', { json: { kind: 'gather', input: { tasks } } });
  t.equal(answer.status, 422);
  t.match(answer.json(), { errors: [{ pointer: '#/input/tasks/0' }] });
  t.equal(answer.json<{ errors: unknown[] }>().errors.length, 1);
  const scheduled = await request('POST', '/schedules', {
    json: { kind: 'gather', input: { tasks }, cron: '0 0 * * *' },
  });
  t.equal(scheduled.json<{ errors: unknown[] }>().errors.length, 1);
});

t.test('a suspect that finds no place does not keep the others from theirs', async (t) => {
  const kind = defineTask({ kind: 'any', description: 'Any.', input: Anything, run: async () => {} });
  const slots = new Slots([kind], 10);
  const first = slots.room([], true);
  t.match(first, { suspects: true, free: 1 });
  if (first !== undefined) slots.claimed(first, 0);
  t.match(slots.room([], true), { suspects: false, free: 10 });
});
