import t from 'tap';
import { startApp } from './support/app.ts';
import { onEachDatabase } from './support/databases.ts';

const ada = { name: 'Ada', email: 'ada@example.com' };

onEachDatabase('If-None-Match answers 304 without a body, comparing weakly', async (t, dialect) => {
  const { request } = await startApp(t, dialect);
  await request('POST', '/users', { json: ada });
  for (const tags of ['"1"', 'W/"1"', '*', '"7", W/"1" ,"x"']) {
    const answer = await request('GET', '/users/1', { headers: { 'if-none-match': tags } });
    t.equal(answer.status, 304, tags);
    t.equal(answer.text, '');
    t.equal(answer.headers.etag, '"1"');
    t.notOk('content-type' in answer.headers);
  }
  t.equal((await request('HEAD', '/users/1', { headers: { 'if-none-match': '"1"' } })).status, 304);
  t.equal((await request('GET', '/users/1', { headers: { 'if-none-match': '"2"' } })).status, 200);
  t.equal(
    (await request('GET', '/users/2', { headers: { 'if-none-match': '*' } })).status,
    404,
    '404 comes first',
  );
});

onEachDatabase(
  'If-Match lets a change through for the present version only, comparing strongly',
  async (t, dialect) => {
    const { request } = await startApp(t, dialect);
    await request('POST', '/users', { json: ada });
    const patch = (ifMatch: string) =>
      request('PATCH', '/users/1', {
        json: { attributes: { by: ifMatch } },
        headers: { 'if-match': ifMatch },
      });
    for (const tags of ['"2"', 'W/"1"', '"x", "y"', '""']) {
      t.match((await patch(tags)).json(), { status: 412, type: /version-mismatch/ }, tags);
    }
    t.equal((await patch('"9", "1"')).status, 200);
    t.equal((await patch('*')).status, 200);
    t.equal((await request('DELETE', '/users/1', { headers: { 'if-match': '"1"' } })).status, 412);
    t.equal((await request('DELETE', '/users/1', { headers: { 'if-none-match': '"3"' } })).status, 412);
    t.equal((await request('GET', '/users/1', { headers: { 'if-match': '"1"' } })).status, 412);
    t.equal((await request('DELETE', '/users/1', { headers: { 'if-match': '"3"' } })).status, 204);
    t.equal(
      (await request('DELETE', '/users/1', { headers: { 'if-match': '"3"' } })).status,
      404,
      '404 comes first',
    );
  },
);

t.test('where nothing has an ETag no tag matches, and nothing is done', async (t) => {
  const { request } = await startApp(t, 'sqlite');
  await request('POST', '/users', { json: ada });
  await request('POST', '/webhooks', { json: { url: 'https://example.com/hook' } });
  for (const [method, url, json] of [
    ['PATCH', '/webhooks/1', { description: 'changed' }],
    ['DELETE', '/webhooks/1'],
    ['POST', '/users/1/erase'],
    ['POST', '/users', { name: 'Bo', email: 'bo@example.com' }],
    ['GET', '/start-task'],
  ] as const) {
    const answer = await request(method, url, { json, headers: { 'if-match': '"77"' } });
    t.match(answer.json(), { status: 412, type: /version-mismatch/ }, `${method} ${url}`);
  }
  t.equal((await request('DELETE', '/webhooks/1', { headers: { 'if-match': '77' } })).status, 400);
  t.equal((await request('GET', '/users')).json<unknown[]>().length, 1);
  t.strictSame((await request('GET', '/tasks')).json(), []);
  t.notMatch((await request('GET', '/webhooks/1')).json(), { description: 'changed' });
  t.equal((await request('DELETE', '/webhooks/1', { headers: { 'if-match': '*' } })).status, 204);
});

t.test('a condition that cannot be read is a 400, not a condition that is ignored', async (t) => {
  const { request } = await startApp(t, 'sqlite');
  await request('POST', '/users', { json: ada });
  for (const value of ['1', '"1', 'w/"1"', '"1" "2"', '*, "1"']) {
    for (const name of ['if-match', 'if-none-match']) {
      const answer = await request('DELETE', '/users/1', { headers: { [name]: value } });
      t.match(
        answer.json(),
        { status: 400, errors: [{ in: 'headers', pointer: `#/${name}` }] },
        `${name}: ${value}`,
      );
    }
  }
  t.equal((await request('GET', '/users/1')).status, 200);
});

onEachDatabase('of 100 patches at once with one ETag one wins and 99 are 412', async (t, dialect) => {
  const { request } = await startApp(t, dialect);
  await request('POST', '/users', { json: ada });
  const answers = await Promise.all(
    Array.from({ length: 100 }, (_, at) =>
      request('PATCH', '/users/1', { json: { attributes: { winner: at } }, headers: { 'if-match': '"1"' } }),
    ),
  );
  const won = answers.filter((answer) => answer.status === 200);
  t.equal(won.length, 1);
  t.equal(answers.filter((answer) => answer.status === 412).length, 99);
  t.strictSame((await request('GET', '/users/1')).json(), won[0]?.json());
});

onEachDatabase(
  '100 patches at once without a condition all happen, one after the other',
  async (t, dialect) => {
    const { request } = await startApp(t, dialect);
    await request('POST', '/users', { json: ada });
    const answers = await Promise.all(
      Array.from({ length: 100 }, (_, at) =>
        request('PATCH', '/users/1', { json: { attributes: { [`n${at}`]: at } } }),
      ),
    );
    const versions = answers
      .map((answer) => answer.json<{ version: number }>().version)
      .sort((a, b) => a - b);
    t.strictSame(
      versions,
      Array.from({ length: 100 }, (_, at) => at + 2),
      'each made a version of its own',
    );
    for (const answer of answers) {
      const { version, attributes } = answer.json<{ version: number; attributes: object }>();
      t.equal(Object.keys(attributes).length, version - 1, 'and was answered with the user as it made it');
    }
    const { attributes } = (await request('GET', '/users/1')).json<{ attributes: object }>();
    t.equal(Object.keys(attributes).length, 100);
  },
);
