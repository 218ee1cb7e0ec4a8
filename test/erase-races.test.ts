import { join } from 'node:path';
import t from 'tap';
import { erasables } from '../src/app.ts';
import { scrubDeleted } from '../src/db/scrub.ts';
import type { Tx } from '../src/db/tx.ts';
import { defineTask } from '../src/tasks/kinds.ts';
import { fireDue } from '../src/tasks/schedules.ts';
import { importOf } from '../src/transfers/import.task.ts';
import { BLOCK_BYTES } from '../src/transfers/upload.entity.ts';
import { type Erasable, eraseOf } from '../src/users/erase.task.ts';
import { isEmail } from '../src/users/keys.ts';
import { createUser, updateUser } from '../src/users/users.ts';
import { startApp, type TestApp } from './support/app.ts';
import { onEachDatabase } from './support/databases.ts';
import { ADA, contextOf, HERS, note, textOf, upload } from './support/erasure.ts';
import { temporaryFolder } from './support/owner.ts';
import { settled } from './support/tasks.ts';

async function erase(app: TestApp, id: number) {
  const task = (await app.request('POST', `/users/${id}/erase`)).json<{ id: number }>();
  return settled(app.app, task.id);
}

const lineOf = (user: object) => `${JSON.stringify(user)}\n`;

for (const onConflict of ['skip', 'update', 'fail'] as const) {
  for (const dryRun of [false, true]) {
    onEachDatabase(
      `an import does not bring back whom it has in hand while they are erased: ${onConflict}${dryRun ? ', dry' : ''}`,
      async (t, dialect) => {
        const app = await startApp(t, dialect);
        await app.request('POST', '/users', { json: ADA });
        const others = Array.from({ length: 28 }, (_, n) => ({
          name: `Other ${n}`,
          email: `o${n}@example.com`,
        }));
        const broken = { ...ADA, nobody: 'knows this' }; // refused in any case
        const lines = [...others.slice(0, 26), ADA, broken, ...others.slice(26)].map(lineOf);
        await upload(app, lines.join(''), 999);
        // The second batch has her in it.
        let batches = 0;
        const beforeBatch = async () => {
          if (++batches === 2) t.match(await erase(app, 1), { state: 'succeeded' });
        };
        const context = contextOf(app, { format: 'ndjson', onConflict, dryRun } as const, beforeBatch);
        if (dryRun) {
          const { write } = context;
          Object.assign(context, {
            write: async <T>(work: (tx: Tx) => Promise<T>) => {
              await beforeBatch();
              return write(work);
            },
          });
        }
        const busy = importOf({ 'idn-email': isEmail }, () => true);
        t.strictSame(await busy.run(context as never), {
          created: 28,
          updated: 0,
          unchanged: 0,
          skipped: 0,
          refused: 2,
        });
        const users = (await app.request('GET', '/users?limit=1000')).json<{ email: string }[]>();
        t.strictSame(
          users.map(({ email }) => email),
          dryRun ? [] : others.map(({ email }) => email),
          'each of the others is there once',
        );
        t.notMatch(await textOf(app, 'import_errors', 'row'), HERS);
      },
    );
  }
}

onEachDatabase('files are gone through before the user is deleted, and again after', async (t, dialect) => {
  const app = await startApp(t, dialect);
  await app.request('POST', '/users', { json: ADA });
  const seen: [string, number][] = [];
  const look = (name: string): Erasable => ({
    name,
    erase: async () => void seen.push([name, (await app.request('GET', '/users/1')).status]),
  });
  const places = [look('other'), { ...look('files'), first: true }];
  await eraseOf(places, async () => {}).run(contextOf(app, { userId: 1 }));
  t.strictSame(seen, [
    ['files', 200],
    ['other', 404],
    ['files', 404],
  ]);
});

onEachDatabase('an erasure that is tried again goes through the files first again', async (t, dialect) => {
  const app = await startApp(t, dialect);
  await app.request('POST', '/users', { json: ADA });
  let tries = 0;
  const files: Erasable = {
    name: 'files',
    first: true,
    async erase(_write, { emails }) {
      if (++tries > 2) return;
      t.strictSame(emails, [ADA.email]);
      t.equal((await app.request('GET', '/users/1')).status, 200);
      if (tries === 1) throw new Error('the database is away');
    },
  };
  const context = contextOf(app, { userId: 1 });
  const kind = eraseOf([files], async () => {});
  await t.rejects(kind.run(context), /away/);
  await kind.run(context);
  t.equal(tries, 3);
  t.equal((await app.request('GET', '/users/1')).status, 404);
});

onEachDatabase('what is patched while an erasure begins is looked for, too', async (t, dialect) => {
  for (const nth of [1, 2, 3]) {
    const app = await startApp(t, dialect);
    await app.request('POST', '/users', { json: ADA });
    let patched = Promise.resolve<object | undefined>(undefined);
    const known: string[][] = [];
    // In one transaction with the erasure's own.
    const context = contextOf(app, { userId: 1 }, (at) => {
      if (at !== nth) return;
      const patch = { name: 'New Name', email: 'new@example.com' };
      patched = app.app.write((tx) => updateUser(tx, 1, patch)).catch(() => undefined);
    });
    const first: Erasable = {
      name: 'first',
      first: true,
      erase: async (_write, { emails, names }) => void known.push([...emails, ...names].sort()),
    };
    await eraseOf([first], async () => {}).run(context);
    const all = [...[ADA.email, ADA.name], ...((await patched) ? ['new@example.com', 'New Name'] : [])];
    t.strictSame(known.at(-2), all.sort(), `before the user is deleted, at save ${nth}`);
    t.strictSame(known.at(-1), all.sort(), `after it, at save ${nth}`);
    t.equal(await textOf(app, 'users', 'email'), '');
    t.notMatch(await textOf(app, 'changes', 'state'), /example/);
  }
});

onEachDatabase('a schedule that fires while somebody is erased does not name them', async (t, dialect) => {
  const app = await startApp(t, dialect, {}, { kinds: [note] });
  await app.request('POST', '/users', { json: ADA });
  const schedule = { kind: 'note', input: { to: ADA.email }, cron: '0 0 1 1 *' };
  await app.request('POST', '/schedules', { json: schedule });
  const fire = () =>
    app.app.write(async (tx) => {
      tx.changed();
      await tx.execute(`update schedules set next_run_at = ? where kind = 'note'`, [new Date(2020, 1, 1)]);
      await fireDue(tx, app.app.tasks, app.app.log);
    });
  const watched = erasables.map((place): Erasable => {
    const erase: Erasable['erase'] = async (...args) => {
      await place.erase(...args);
      if (place.name === 'tasks') await fire();
    };
    return { ...place, erase };
  });
  await eraseOf(watched, async () => {}).run(contextOf(app, { userId: 1 }));
  t.match((await app.request('GET', '/tasks/1')).json(), { kind: 'note', input: { to: '[erased]' } });
});

onEachDatabase('who is asked to be erased is, whatever other erasures there are', async (t, dialect) => {
  const started = Promise.withResolvers<void>();
  const released = Promise.withResolvers<void>();
  const cancelled = Promise.withResolvers<void>();
  const stubborn = defineTask({
    kind: 'stubborn',
    description: 'Runs on for a while when it is cancelled.',
    input: { type: 'object', additionalProperties: true },
    run: ({ signal }) => {
      signal.addEventListener('abort', () => cancelled.resolve());
      started.resolve();
      return released.promise;
    },
  });
  const app = await startApp(t, dialect, {}, { kinds: [stubborn] });
  const { request } = app;
  const [ada, bob, eve] = await Promise.all(
    [ADA, { name: 'Bob', email: 'bob@example.com' }, { name: 'Eve', email: 'eve@example.com' }].map(
      async (json) => (await request('POST', '/users', { json })).json<{ id: number }>().id,
    ),
  );
  const erasure = async (userId = 0) => {
    const answer = (await request('POST', `/users/${userId}/erase`)).json<{ id: number; state: string }>();
    t.match(answer, { input: { userId }, state: 'queued' });
    return answer.id;
  };
  // Of another user, of the same next century.
  for (const [userId, dedupeKey] of [
    [bob, ada],
    [bob, bob],
  ]) {
    const runAt = '2999-01-01T00:00:00Z';
    const json = { kind: 'erase', input: { userId }, dedupeKey: String(dedupeKey), runAt };
    t.equal((await request('POST', '/tasks', { json })).status, 202);
    await erasure(dedupeKey);
  }

  // One that is just being cancelled will not do it.
  await request('POST', '/tasks', { json: { kind: 'stubborn', input: { to: 'eve@example.com' } } });
  await started.promise;
  const first = await erasure(eve);
  await cancelled.promise;
  const [, second] = await Promise.all([request('POST', `/tasks/${first}/cancel`), erasure(eve)]);
  released.resolve();
  t.match(await settled(app.app, second), { input: { userId: eve }, state: 'succeeded' });
  t.match(await settled(app.app, first), { state: 'cancelled' });
});

onEachDatabase('what an erasure that has failed still knows is removed by the next', async (t, dialect) => {
  const app = await startApp(t, dialect);
  await app.request('POST', '/users', { json: ADA });
  const known = { userId: 1, emails: [ADA.email], names: [ADA.name], values: [ADA.attributes.phone] };
  await app.app.write(async (tx) => {
    tx.changed();
    await tx.execute(
      `insert into tasks (kind, state, priority, input, checkpoint, attempt, max_attempts, losses, created_at, finished_at)
       values ('erase', 'failed', 0, '{"userId":1}', ?, 5, 5, 0, ?, ?)`,
      [JSON.stringify(known), new Date(), new Date()],
    );
  });
  t.match(await erase(app, 1), { state: 'succeeded' });
  t.notMatch(await textOf(app, 'tasks', 'cast(checkpoint as text)'), HERS);
  t.match(await app.request('POST', '/tasks/1/retry'), { status: 202 });
  t.match(await settled(app.app, 1), { state: 'succeeded' });
});

t.test('on SQLite the journal is cut off while others write', async (t) => {
  const databaseUrl = `sqlite:${join(await temporaryFolder(t), 'muster.db')}`;
  const { app, request } = await startApp(t, 'sqlite', { databaseUrl });
  const begun = Promise.withResolvers<void>();
  const held = Promise.withResolvers<void>();
  const written = app.write(async (tx) => {
    await createUser(tx, ADA);
    begun.resolve();
    await held.promise;
  });
  await begun.promise;
  const scrubbed = scrubDeleted(app.orm, databaseUrl, [], AbortSignal.timeout(60_000));
  scrubbed.catch(() => {});
  const busy = await request('GET', '/users'); // time in which it could fail
  t.strictSame(busy.json(), []);
  held.resolve();
  await t.resolves(scrubbed);
  await t.resolves(written);
  t.equal((await request('GET', '/users/1')).status, 200);
});

onEachDatabase('a row that lies in two blocks is overwritten in both', async (t, dialect) => {
  const app = await startApp(t, dialect);
  await app.request('POST', '/users', { json: ADA });
  const hers = lineOf({ email: ADA.email, phone: ADA.attributes.phone });
  const at = hers.indexOf(',');
  const row = lineOf({ name: 'x', email: 'somebody@example.com' });
  const rows = row.repeat(Math.floor((2 * BLOCK_BYTES - at) / row.length));
  const filler = ' '.repeat(2 * BLOCK_BYTES - at - rows.length - 1);
  await upload(app, `${rows}${filler}\n${hers}${row}`);
  await erase(app, 1);
  const text = await textOf(app, 'upload_blocks', 'bytes');
  t.notMatch(text.replaceAll('\n', ''), HERS);
  t.match(text, 'somebody@example.com');
});
