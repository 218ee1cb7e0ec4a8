import type { Test } from 'tap';
import type { DialectName } from '../src/db/url.ts';
import { startApp } from './support/app.ts';
import { onEachDatabase } from './support/databases.ts';
import { startExplaining } from './support/plans.ts';

/** The same of the filters of an export, which is by id. */
const EXPORTS: [query: string, index: RegExp][] = [
  ['', /users_pkey|INTEGER PRIMARY KEY/],
  ['?format=csv&raw=true', /users_pkey|INTEGER PRIMARY KEY/],
  ['?email=user7@example.com', /users_email_key_unique/],
  ['?name=user%207', /users_name_key_id/],
  ['?q=user77', /users_search/],
];

/** Every sort and filter that the list documents, and the index that each has to go along. */
const LISTS: [query: string, index: RegExp][] = [
  ['sort=id', /users_pkey|INTEGER PRIMARY KEY|SCAN users$/],
  ['sort=-id', /users_pkey|INTEGER PRIMARY KEY|SCAN users$/],
  ['sort=name', /users_name_key_id/],
  ['sort=-name', /users_name_key_id/],
  ['sort=email', /users_email_key_unique/],
  ['sort=-email', /users_email_key_unique/],
  ['sort=createdAt', /users_created_at_id/],
  ['sort=-createdAt', /users_created_at_id/],
  ['email=user7@example.com', /users_email_key_unique/],
  ['name=user%207', /users_name_key_id/],
  ['name=user%207&sort=-id', /users_name_key_id/],
  ['q=user77', /users_search/],
  ['q=user77&sort=name', /users_search/],
];

const SEARCHING = 'set local enable_indexscan = off; set local enable_bitmapscan = on';
const SORTING = 'set local enable_indexscan = on; set local enable_bitmapscan = off';

/** Three hundred users. */
async function startDirectory(t: Test, dialect: DialectName) {
  const { app, request } = await startApp(t, dialect);
  for (let at = 0; at < 300; at += 100) {
    const people = Array.from({ length: 100 }, (_, n) => ({
      name: `User ${at + n}`,
      email: `user${at + n}@example.com`,
    }));
    await Promise.all(people.map((json) => request('POST', '/users', { json })));
  }
  return { app, request };
}

onEachDatabase(
  'every documented sort and filter goes along an index, and sorts nothing',
  async (t, dialect) => {
    const { app, request } = await startDirectory(t, dialect);
    const explain = await startExplaining(t, app, dialect);
    const reads = t.capture(app.reader, 'read', app.reader.read);
    for (const [query, index] of LISTS) {
      reads();
      const first = await request('GET', `/users?limit=5&${query}`);
      const next = /^<(.+)>/.exec(String(first.headers.link ?? ''))?.[1];
      if (next !== undefined) await request('GET', next);
      // Of a search in another order than its index, the last query is the one that asks the trigrams.
      const lists = reads().filter(({ args }) => !args[0].includes('from change_log'));
      const asked = query.startsWith('q=') && query.includes('sort') ? lists.slice(-1) : lists;
      t.ok(asked.length > 0);
      for (const { args } of asked) {
        // Of a search, that it can ask the trigrams is what is to be seen: there are bitmaps, and no index scans.
        const plan = await explain(args[0], args[1], query.startsWith('q=') ? SEARCHING : SORTING);
        t.match(plan, index, `${query}\n${plan}`);
        t.notMatch(plan, /Seq Scan/, query);
        if (query.startsWith('sort')) t.notMatch(plan, /TEMP B-TREE|Sort\b/, `${query} sorts nothing`);
      }
    }
  },
);

onEachDatabase('every page of an export goes along an index', async (t, dialect) => {
  const { app, request } = await startDirectory(t, dialect);
  const explain = await startExplaining(t, app, dialect);
  const reads = t.capture(app.reader, 'read', app.reader.read);
  for (const [query, index] of EXPORTS) {
    reads();
    await request('GET', `/users/export${query}`);
    const pages = reads().filter(({ args }) => args[0].includes('from users where'));
    t.ok(pages.length > 0);
    for (const { args } of pages) {
      const plan = await explain(args[0], args[1], query.startsWith('?q=') ? SEARCHING : SORTING);
      t.match(plan, index, `${query}\n${plan}`);
      t.notMatch(plan, /Seq Scan on users/, query);
    }
  }
});
