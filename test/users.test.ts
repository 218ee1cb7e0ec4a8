import t from 'tap';
import { pointers, startApp } from './support/app.ts';
import { onEachDatabase } from './support/databases.ts';

interface User {
  id: number;
  name: string;
  email: string;
  attributes: Record<string, unknown>;
  version: number;
  createdAt: string;
  updatedAt: string;
}

const ada = { name: 'Ada Lovelace', email: 'ada@example.com' };

onEachDatabase('a user is created, and says where it is', async (t, dialect) => {
  const { request } = await startApp(t, dialect);
  const before = Date.now();
  const answer = await request('POST', '/users', {
    json: { ...ada, attributes: { team: ['x', null, 1.5] } },
  });
  const user = answer.json<User>();
  t.equal(answer.status, 201);
  t.equal(answer.headers.location, `/users/${user.id}`);
  t.equal(answer.headers.etag, '"1"');
  t.match(user, { ...ada, id: 1, attributes: { team: ['x', null, 1.5] }, version: 1 });
  t.equal(user.createdAt, user.updatedAt);
  t.ok(Date.parse(user.createdAt) >= before && Date.parse(user.createdAt) <= Date.now());
  t.match((await request('GET', '/users/1')).json(), user, 'and reads as it was created');
});

onEachDatabase('attributes come back as they were given, their order included', async (t, dialect) => {
  const { request } = await startApp(t, dialect);
  const attributes =
    '{"zebra":1,"apple":{"é":"\\"quotes\\" \\\\ ? $1 :name \'x\' \\u2028"},"n":[0.1,-3,1e21,{}],"t":true}';
  const created = await request('POST', '/users', {
    body: `{"name":"Ada","email":"ada@example.com","attributes":${attributes}}`,
  });
  t.equal(created.status, 201);
  const { text } = await request('GET', '/users/1');
  t.equal(JSON.stringify(JSON.parse(text).attributes), JSON.stringify(JSON.parse(attributes)));
});

onEachDatabase('names in every script are kept to the letter', async (t, dialect) => {
  const { request } = await startApp(t, dialect);
  const names = [
    'José Ñandú',
    'Jose\u0301',
    '李小龙',
    'محمد',
    "O'Brien; drop table users --",
    '𝒜𝒹𝒶 👩‍🚀',
    'a?b?c',
    '\\ "',
  ];
  for (const [at, name] of names.entries()) {
    const answer = await request('POST', '/users', { json: { name, email: `u${at}@example.com` } });
    t.equal(answer.status, 201, name);
    t.equal((await request('GET', `/users/${at + 1}`)).json<User>().name, name);
  }
  t.equal(
    (await request('POST', '/users', { json: { name: '👩'.repeat(50), email: 'a@b.c' } })).status,
    201,
    '50 code points',
  );
  t.equal(
    (await request('POST', '/users', { json: { name: '👩'.repeat(51), email: 'a@b.d' } })).status,
    422,
    '51',
  );
});

onEachDatabase(
  'an email belongs to one user, whatever its letter case or Unicode form',
  async (t, dialect) => {
    const { request } = await startApp(t, dialect);
    const spelled = 'José@Bücher.Example';
    const created = await request('POST', '/users', { json: { name: 'José', email: spelled } });
    t.equal(created.json<User>().email, spelled, 'the spelling given is the spelling returned');
    for (const email of ['josé@bücher.example', 'JOSE\u0301@BÜCHER.EXAMPLE', 'José@xn--bcher-kva.example']) {
      const answer = await request('POST', '/users', { json: { name: 'Other', email } });
      t.equal(answer.status, 409, email);
      t.match(answer.json(), { type: 'urn:problem-type:muster:email-taken', status: 409 });
    }
    t.equal(
      (await request('POST', '/users', { json: { name: 'Jose', email: 'Jose@bücher.example' } })).status,
      201,
    );
  },
);

onEachDatabase('a user that is not there is a 404, whatever the id', async (t, dialect) => {
  const { request } = await startApp(t, dialect);
  for (const id of ['1', '2147483648', '9007199254740991']) {
    t.match((await request('GET', `/users/${id}`)).json(), { status: 404, type: /user-not-found$/ }, id);
    t.equal((await request('PATCH', `/users/${id}`, { json: {} })).status, 404);
    t.equal((await request('DELETE', `/users/${id}`)).status, 404);
  }
  for (const id of ['0', '-1', '1.0', '0x1', '1e0', '%201', 'x', '9007199254740992', '01']) {
    const answer = await request('GET', `/users/${id}`);
    t.equal(answer.status, 400, id);
    t.match(answer.json(), { errors: [{ in: 'path', pointer: '#/id' }] });
  }
});

onEachDatabase('a patch changes what it names and nothing else', async (t, dialect) => {
  const { request } = await startApp(t, dialect);
  await request('POST', '/users', { json: { ...ada, attributes: { a: 1, b: { c: 2, d: 3 } } } });
  const answer = await request('PATCH', '/users/1', {
    json: { attributes: { b: { c: null, e: [1] }, a: null } },
  });
  t.equal(answer.status, 200);
  t.equal(answer.headers.etag, '"2"');
  t.match(answer.json(), { ...ada, version: 2 });
  t.strictSame(answer.json<User>().attributes, { b: { d: 3, e: [1] } });

  const renamed = await request('PATCH', '/users/1', {
    json: { name: 'Ada King', email: 'King@example.com' },
  });
  t.match(renamed.json(), {
    name: 'Ada King',
    email: 'King@example.com',
    version: 3,
    attributes: { b: { d: 3 } },
  });
  t.strictSame((await request('GET', '/users/1')).json(), renamed.json(), 'and that is what is read');
  t.equal((await request('POST', '/users', { json: ada })).status, 201, 'the old email is free');
  t.match(
    (await request('GET', '/users?name=ada king')).json<User[]>(),
    [{ id: 1 }],
    'it is found by its new name',
  );

  const cleared = await request('PATCH', '/users/1', { json: { attributes: null } });
  t.strictSame(cleared.json<User>().attributes, {}, 'null removes all attributes');
});

onEachDatabase('a patch that changes nothing leaves the version and the time', async (t, dialect) => {
  const { request } = await startApp(t, dialect);
  const created = await request('POST', '/users', { json: { ...ada, attributes: { a: 1 } } });
  for (const json of [{}, { name: ada.name }, { attributes: { a: 1 } }, { attributes: { b: null } }]) {
    const answer = await request('PATCH', '/users/1', { json });
    t.equal(answer.status, 200);
    t.strictSame(answer.json(), created.json(), JSON.stringify(json));
  }
});

onEachDatabase('a patch is held to the rules of a create', async (t, dialect) => {
  const { request } = await startApp(t, dialect);
  await request('POST', '/users', { json: ada });
  await request('POST', '/users', { json: { name: 'Bob', email: 'bob@example.com' } });
  const refused: [unknown, string[]][] = [
    [{ name: null }, ['#/name']],
    [{ name: ' x', email: 'nobody' }, ['#/email', '#/name']],
    [{ id: 3, version: 9 }, ['#/id', '#/version']],
    [{ attributes: [] }, ['#/attributes']],
    [{ attributes: { big: 'x'.repeat(16_400) } }, ['#/attributes']],
    [[], ['#']],
    ['x', ['#']],
  ];
  for (const [json, expected] of refused) {
    const answer = await request('PATCH', '/users/1', { json });
    t.equal(answer.status, 422, JSON.stringify(json).slice(0, 50));
    t.strictSame(pointers(answer), expected);
  }
  t.equal((await request('PATCH', '/users/1', { json: { email: 'BOB@example.com' } })).status, 409);
  t.equal(
    (await request('PATCH', '/users/1', { json: { email: 'ADA@example.com' } })).status,
    200,
    'its own email, respelled',
  );
  const half = { attributes: { a: 'x'.repeat(9000) } };
  t.equal((await request('PATCH', '/users/1', { json: half })).status, 200);
  const grown = await request('PATCH', '/users/1', { json: { attributes: { b: 'x'.repeat(9000) } } });
  t.equal(grown.status, 422, 'what is merged counts, not what is sent');
});

onEachDatabase(
  'a deleted user is gone, and its id and email are not mistaken for another’s',
  async (t, dialect) => {
    const { request } = await startApp(t, dialect);
    await request('POST', '/users', { json: ada });
    const answer = await request('DELETE', '/users/1');
    t.equal(answer.status, 204);
    t.equal(answer.text, '');
    t.equal((await request('GET', '/users/1')).status, 404);
    t.equal((await request('DELETE', '/users/1')).status, 404);
    t.match(
      (await request('POST', '/users', { json: ada })).json(),
      { id: 2 },
      'the email is free, the id is not reused',
    );
  },
);

onEachDatabase('HEAD says what GET would, without a body', async (t, dialect) => {
  const { request } = await startApp(t, dialect);
  await request('POST', '/users', { json: ada });
  for (const url of ['/users/1', '/users', '/user/1', '/openapi.json']) {
    const get = await request('GET', url);
    const head = await request('HEAD', url);
    t.equal(head.status, 200, url);
    t.equal(head.text, '');
    t.equal(head.headers['content-length'], get.headers['content-length']);
    t.equal(head.headers.etag, get.headers.etag);
  }
});

t.test('HEAD gives no length where GET has a stream', async (t) => {
  const { request } = await startApp(t, 'sqlite');
  await request('GET', '/start-task');
  for (const [url, accept, type] of [
    ['/users/export', '*/*', 'application/x-ndjson'],
    ['/users/export?format=csv', '*/*', 'text/csv; charset=utf-8'],
    ['/tasks/1/errors', '*/*', 'application/x-ndjson'],
    ['/tasks/1', 'text/event-stream', 'text/event-stream'],
    ['/changes', 'text/event-stream', 'text/event-stream'],
  ] as const) {
    const head = await request('HEAD', url, { headers: { accept } });
    t.match(head, { status: 200, text: '', headers: { 'content-type': type } }, url);
    t.notOk('content-length' in head.headers, url);
  }
});

t.test('everything that is wrong with a body is listed at once', async (t) => {
  const { request } = await startApp(t, 'sqlite');
  const answer = await request('POST', '/users', { json: { name: '', mail: 1, attributes: 'none' } });
  t.equal(answer.status, 422);
  t.match(answer.headers['content-type'], 'application/problem+json');
  t.strictSame(pointers(answer), ['#/attributes', '#/email', '#/mail', '#/name']);
});
