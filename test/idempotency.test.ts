import t from 'tap';
import type { Tx } from '../src/db/tx.ts';
import { startApp } from './support/app.ts';
import { onEachDatabase } from './support/databases.ts';

const ada = { name: 'Ada', email: 'ada@example.com' };
const key = { 'idempotency-key': '5f0c3a52-1b7e-4c7d-9a53-0f6f0c1d2e3f' };

onEachDatabase('the same key and body get the same answer, and create once', async (t, dialect) => {
  const { request } = await startApp(t, dialect);
  const first = await request('POST', '/users', { json: ada, headers: key });
  t.equal(first.status, 201);
  t.notOk('idempotent-replayed' in first.headers);
  await request('PATCH', '/users/1', { json: { name: 'Changed since' } });
  const second = await request('POST', '/users', { json: ada, headers: key });
  t.equal(second.status, 201);
  t.equal(second.headers['idempotent-replayed'], 'true');
  t.equal(second.text, first.text, 'to the byte, though the user has changed');
  t.equal(second.headers.location, first.headers.location);
  t.equal(second.headers.etag, first.headers.etag);
  t.equal((await request('GET', '/users')).json<unknown[]>().length, 1);
});

onEachDatabase('the same key with another request is refused', async (t, dialect) => {
  const { request } = await startApp(t, dialect);
  await request('POST', '/users', { json: ada, headers: key });
  for (const [url, json] of [
    ['/users', { ...ada, name: 'Eve' }],
    ['/users', { ...ada, email: 'eve@example.com' }],
    ['/add-user', ada],
  ] as const) {
    const answer = await request('POST', url, { json, headers: key });
    t.match(answer.json(), { status: 422, type: /idempotency-key-reused/ }, url);
  }
  t.equal((await request('GET', '/users')).json<unknown[]>().length, 1);
});

onEachDatabase('a key whose request was refused is free again', async (t, dialect) => {
  const { request } = await startApp(t, dialect);
  await request('POST', '/users', { json: ada });
  t.equal((await request('POST', '/users', { json: ada, headers: key })).status, 409, 'the email is taken');
  await request('DELETE', '/users/1');
  const answer = await request('POST', '/users', { json: ada, headers: key });
  t.equal(answer.status, 201);
  t.notOk('idempotent-replayed' in answer.headers);
});

onEachDatabase('50 posts at once with one key create one user', async (t, dialect) => {
  const { request } = await startApp(t, dialect);
  const post = () => request('POST', '/users', { json: ada, headers: key });
  const answers = await Promise.all(Array.from({ length: 50 }, post));
  const created = answers.filter(
    (answer) => answer.status === 201 && !('idempotent-replayed' in answer.headers),
  );
  t.equal(created.length, 1, 'one created it');
  for (const answer of answers) {
    if (answer.status === 201) t.equal(answer.text, created[0]?.text);
    else t.match(answer.json(), { status: 409, type: /idempotency-key-in-use/ });
  }
  t.equal((await post()).headers['idempotent-replayed'], 'true');
  t.equal((await request('GET', '/users')).json<unknown[]>().length, 1);
});

onEachDatabase(
  '50 posts at once with one email in different letter case create one user',
  async (t, dialect) => {
    const { request } = await startApp(t, dialect);
    const spellings = Array.from({ length: 50 }, (_, at) =>
      [...'somebody@example.com']
        .map((letter, place) => ((at >> (place % 6)) & 1 ? letter.toUpperCase() : letter))
        .join(''),
    );
    const answers = await Promise.all(
      spellings.map((email) => request('POST', '/users', { json: { name: 'One', email } })),
    );
    t.equal(answers.filter((answer) => answer.status === 201).length, 1);
    t.equal(answers.filter((answer) => answer.status === 409).length, 49);
    t.equal((await request('GET', '/users')).json<unknown[]>().length, 1);
  },
);

onEachDatabase('two replicas with one key create one user', async (t, dialect) => {
  if (dialect === 'sqlite') return; // one process only
  const one = await startApp(t, dialect);
  const { connection } = { connection: one.app.orm.config.get('clientUrl') };
  const two = await startApp(t, dialect, { databaseUrl: String(connection) });
  const answers = await Promise.all(
    [one, two, one, two].map(({ request }) => request('POST', '/users', { json: ada, headers: key })),
  );
  t.equal(
    answers.filter((answer) => answer.status === 201 && !('idempotent-replayed' in answer.headers)).length,
    1,
  );
  t.ok(answers.every((answer) => answer.status === 201 || answer.status === 409));
  t.equal(
    (await two.request('POST', '/users', { json: ada, headers: key })).headers['idempotent-replayed'],
    'true',
  );
});

onEachDatabase('an answer that is forgotten just when it is asked for is given anew', async (t, dialect) => {
  const { app, request } = await startApp(t, dialect);
  await request('POST', '/users', { json: ada, headers: key });
  await request('DELETE', '/users/1');
  const { write } = app;
  app.write = (work) =>
    write((tx) => {
      const execute: Tx['execute'] = async (sql, values) => {
        const rows = await tx.execute<never>(sql, values);
        // It was there a moment ago; another replica prunes.
        if (sql.includes('on conflict do nothing') && rows.length === 0)
          await tx.execute('delete from idempotency_records', []);
        return rows;
      };
      return work({ ...tx, execute });
    });
  const answer = await request('POST', '/users', { json: ada, headers: key });
  app.write = write;
  t.equal(answer.status, 201);
  t.notOk('idempotent-replayed' in answer.headers);
  const again = await request('POST', '/users', { json: ada, headers: key });
  t.equal(again.text, answer.text);
});

t.test('a key that cannot be one is refused', async (t) => {
  const { request } = await startApp(t, 'sqlite');
  for (const value of ['', 'a b', 'x'.repeat(256)]) {
    const answer = await request('POST', '/users', { json: ada, headers: { 'idempotency-key': value } });
    t.match(
      answer.json(),
      { status: 400, errors: [{ in: 'headers', pointer: '#/idempotency-key' }] },
      value.slice(0, 9),
    );
  }
});
