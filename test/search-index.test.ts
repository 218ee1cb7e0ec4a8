import t from 'tap';
import { startApp } from './support/app.ts';

/** FTS5 gives each part of its index a number, and each page of a part an id that begins with it. */
const PARTS = 'select count(distinct id >> 37) as parts from users_search_data where id > 10';
/** Four of the same size are merged into one; without that FTS5 lets there be fifteen of each. */
const MOST_PARTS = 12;

t.test('however many write one by one, the index of the search stays in few parts', async (t) => {
  const { app, request } = await startApp(t, 'sqlite');
  const partsOf = async () => {
    const [{ parts }] = await app.orm.em.fork().execute<[{ parts: number }]>(PARTS);
    return parts;
  };
  const find = async (q: string) => (await request('GET', `/users?limit=1000&q=${q}`)).json().length;
  // A multiple of 16, less one: without merging there would be 15 parts.
  for (let at = 1; at <= 255; at++)
    await request('POST', '/users', { json: { name: `Ada ${at}`, email: `ada${at}@example.com` } });
  t.ok((await partsOf()) <= MOST_PARTS, `${await partsOf()} parts`);
  t.equal(await find('ada'), 255);

  for (let id = 1; id <= 127; id++) await request('PATCH', `/users/${id}`, { json: { name: `Grace ${id}` } });
  for (let id = 128; id <= 254; id++) await request('DELETE', `/users/${id}`);
  t.ok((await partsOf()) <= MOST_PARTS, `${await partsOf()} parts after changes`);
  t.equal(await find('grace'), 127);
  t.equal(await find('ada%20'), 1);
});

t.test('FTS5 merges nothing by itself', async (t) => {
  const { app } = await startApp(t, 'sqlite');
  const [row] = await app.orm.em
    .fork()
    .execute<[{ v: number }]>("select v from users_search_config where k = 'automerge'");
  t.equal(row.v, 0);
});
