import { createUser, updateUser } from '../src/users/users.ts';
import { startApp } from './support/app.ts';
import { onEachDatabase } from './support/databases.ts';
import { startExplaining } from './support/plans.ts';

const POSITION = /changes_pkey|INTEGER PRIMARY KEY/;
const USER = /changes_user_id_version/;
const HEAD = /changes_pkey|SEARCH changes/;

/** What is asked of the log, and the index that its last query has to go along. */
const ASKED: [url: string, index: RegExp][] = [
  ['/changes?after=100&limit=5', POSITION],
  ['/changes?after=100&limit=5&types=user.deleted', POSITION],
  ['/users/7/history?limit=5', USER],
  ['/users/7?at=200', USER],
  ['/users/7?at=2999-01-01T00:00:00Z', USER],
];

onEachDatabase('whatever is asked of the log goes along an index, and sorts nothing', async (t, dialect) => {
  const { app, request } = await startApp(t, dialect);
  await app.write(async (tx) => {
    for (let n = 1; n <= 150; n++) {
      const { id } = await createUser(tx, { name: 'n', email: `u${n}@example.com` });
      await updateUser(tx, id, { name: 'm' });
    }
  });
  const explain = await startExplaining(t, app, dialect);
  const reads = t.capture(app.reader, 'read', app.reader.read);
  for (const [url, index] of ASKED) {
    reads();
    await request('GET', url);
    const asked = reads();
    const last = asked.findLast(({ args }) => !args[0].includes('max(position)'))?.args;
    const plan = await explain(last?.[0] ?? '', last?.[1] ?? []);
    t.match(plan, index, `${url}\n${plan}`);
    t.notMatch(plan, /Seq Scan|TEMP B-TREE|Sort\b/, url);
    for (const { args } of asked.filter(({ args }) => args[0].includes('max(position)'))) {
      t.match(await explain(args[0], args[1]), HEAD);
    }
  }
});
