import { once } from 'node:events';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { setTimeout as wait } from 'node:timers/promises';
import type { OpenAPIV3_1 } from 'openapi-types';
import t from 'tap';
import type { Reader } from '../src/db/reader.ts';
import type { Scope } from '../src/http/access.ts';
import { SCOPES } from '../src/http/access.ts';
import { Keyring } from '../src/keys/keyring.ts';
import { createKey } from '../src/keys/keys.ts';
import { pointers, startApp, type TestApp } from './support/app.ts';
import { emptyDatabase, onEachDatabase } from './support/databases.ts';
import { Follower } from './support/follow.ts';
import { tookAtMost } from './support/in-time.ts';
import { wholeLog } from './support/log.ts';
import { countRows, importFile, NDJSON } from './support/transfers.ts';

function make({ app }: TestApp, scopes: readonly Scope[], expiresAt?: Date) {
  return app.write((tx) =>
    createKey(tx, { name: 'test', scopes, ...(expiresAt !== undefined && { expiresAt }) }),
  );
}

function bearer(key: string) {
  return { authorization: `Bearer ${key}` };
}

/** Waits until a key that another replica has made is known: this one may have seen a moment ago that there is none. */
async function closed({ request }: TestApp): Promise<void> {
  while ((await request('GET', '/users')).status !== 401) await wait(20);
}

onEachDatabase('every operation asks for its scope, and takes nothing less', async (t, dialect) => {
  const muster = await startApp(t, dialect);
  const { app } = muster;
  const document = await app.apiDocument();
  const all = await make(muster, SCOPES);
  const revoked = await make(muster, SCOPES);
  await muster.request('DELETE', `/keys/${revoked.id}`, { headers: bearer(all.key) });
  const expired = await make(muster, SCOPES, new Date(Date.now() + 3_600_000));
  await app.write((tx) => {
    tx.changed();
    return tx.execute('update api_keys set expires_at = ? where id = ?', [new Date(), expired.id]);
  });
  const others = new Map<Scope, string>();
  for (const scope of SCOPES) {
    const rest = SCOPES.filter((one) => one !== scope);
    others.set(scope, (await make(muster, rest)).key);
  }
  let tried = 0;
  for (const [path, item] of Object.entries(document.paths ?? {})) {
    for (const [method, operation] of Object.entries(item ?? {}) as [string, OpenAPIV3_1.OperationObject][]) {
      const [needed] = operation.security ?? [];
      if (needed === undefined) continue;
      const [scope] = needed.bearer as Scope[];
      const url = path.replace(/\{\w+\}/g, '1');
      const ask = async (authorization?: string) => {
        const headers = authorization === undefined ? {} : { authorization };
        const answer = await app.inject({ method: method.toUpperCase() as 'GET', url, headers });
        return [answer.statusCode, answer.headers['www-authenticate']];
      };
      const name = `${method} ${path}`;
      const wrong = 'Bearer error="invalid_token"';
      t.strictSame(await ask(), [401, 'Bearer'], `${name}: no key`);
      t.strictSame(await ask('Basic YTpi'), [401, 'Bearer'], `${name}: not a bearer token`);
      t.strictSame(await ask(`Bearer ${all.key.slice(0, -1)}!`), [401, wrong], `${name}: no key at all`);
      const other = all.key.at(-1) === 'A' ? 'B' : 'A';
      t.strictSame(await ask(`Bearer ${all.key.slice(0, -1)}${other}`), [401, wrong], `${name}: a wrong key`);
      t.strictSame(await ask(`Bearer ${revoked.key}`), [401, wrong], `${name}: revoked`);
      t.strictSame(await ask(`Bearer ${expired.key}`), [401, wrong], `${name}: expired`);
      if (scope !== undefined) {
        const challenge = `Bearer error="insufficient_scope", scope="${scope}"`;
        t.strictSame(await ask(`Bearer ${others.get(scope)}`), [403, challenge], `${name}: too narrow`);
      }
      if (method === 'get') {
        const [status] = await ask(`Bearer ${all.key}`);
        t.notMatch(String(status), /40[13]/, `${name}: good`);
      }
      tried++;
    }
  }
  t.ok(tried >= 20, `${tried} operations`);
  for (const url of ['/docs', '/openapi.json']) t.equal((await app.inject(url)).statusCode, 200, url);
});

onEachDatabase(
  'a key is shown once, is nowhere kept, and gives no more than its maker has',
  async (t, dialect) => {
    const muster = await startApp(t, dialect);
    const { request, app } = muster;
    const first = await request('POST', '/keys', { json: { name: 'admin', scopes: ['keys', 'users:read'] } });
    t.equal(first.status, 201);
    const { id, key } = first.json<{ id: string; key: string }>();
    t.equal(first.headers.location, `/keys/${id}`);

    const headers = bearer(key);
    const wider = await request('POST', '/keys', {
      headers,
      json: { name: 'n', scopes: ['users:read', 'users:write'] },
    });
    t.equal(wider.status, 403);
    t.match(wider.json().detail, /users:write/);
    t.equal(
      (await request('POST', '/keys', { headers, json: { name: 'n', scopes: ['users:read'] } })).status,
      201,
    );
    for (const bad of [
      { name: 'n', scopes: [] },
      { name: 'n', scopes: ['users'] },
      { name: '', scopes: ['keys'] },
      { name: 'n', scopes: ['keys'], expiresAt: '2020-01-01T00:00:00Z' },
    ]) {
      t.equal((await request('POST', '/keys', { headers, json: bad })).status, 422, JSON.stringify(bad));
    }
    const repeated = { ...headers, 'idempotency-key': 'k' };
    t.equal(
      (await request('POST', '/keys', { headers: repeated, json: { name: 'n', scopes: ['keys'] } })).status,
      400,
    );

    const list = await request('GET', '/keys', { headers });
    t.notMatch(list.text, key.slice(16));
    t.strictSame(list.json<{ id: string }[]>()[0]?.id, id);
    const rows = await app.reader.read<Record<string, unknown>>('select * from api_keys', []);
    t.notMatch(JSON.stringify(rows), key.slice(16));

    const shown = await request('GET', String(first.headers.location), { headers });
    t.match(shown.json(), { id, name: 'admin', scopes: ['keys', 'users:read'] });
    t.notMatch(shown.text, key.slice(16));
    t.equal((await request('GET', '/keys/nobody', { headers })).status, 404);

    t.equal((await request('DELETE', '/keys/nobody', { headers })).status, 404);
    t.equal((await request('DELETE', `/keys/${id}`, { headers })).status, 204);
    t.equal((await request('GET', '/users')).status, 401, 'and the service is not open again');
  },
);

onEachDatabase('a key is given no expiry that cannot be kept', async (t, dialect) => {
  const muster = await startApp(t, dialect);
  for (const expiresAt of ['9999-12-31T23:59:59-23:59', '2099-12-31T23:59:60Z', '2001-01-01T00:00:00Z']) {
    const json = { name: 'test', scopes: ['keys'], expiresAt };
    const answer = await muster.request('POST', '/keys', { json });
    t.strictSame([answer.status, ...pointers(answer)], [422, '#/expiresAt'], expiresAt);
  }
  const json = { name: 'test', scopes: ['keys'], expiresAt: '9999-12-31T23:59:59.999Z' };
  t.match((await muster.request('POST', '/keys', { json })).json(), { expiresAt: json.expiresAt });
});

onEachDatabase('the log says whose key it was', async (t, dialect) => {
  const muster = await startApp(t, dialect);
  const { id, key } = await make(muster, SCOPES);
  const headers = bearer(key);
  await muster.request('POST', '/users', { headers, json: { name: 'n', email: 'a@example.com' } });
  await muster.request('PATCH', '/users/1', { headers, json: { name: 'm' } });
  await muster.request('POST', '/add-user', { headers, json: { name: 'n', email: 'b@example.com' } });
  await muster.request('DELETE', '/users/1', { headers });
  const log = await wholeLog({ request: (method, url) => muster.request(method, url, { headers }) });
  t.strictSame(
    log.map(({ actor }) => actor),
    [1, 2, 3, 4].map(() => `key:${id}`),
  );
});

t.test(
  'a revoked key is refused within a second on every replica, and its streams are closed within five',
  async (t) => {
    const databaseUrl = await emptyDatabase(t, 'postgresql');
    const one = await startApp(t, 'postgresql', { databaseUrl });
    const two = await startApp(t, 'postgresql', { databaseUrl });
    const stays = await make(one, SCOPES);
    await closed(two);
    const base = await two.app.listen({ host: '127.0.0.1', port: 0 });
    const other = new Follower(base, '/changes', bearer(stays.key));
    t.teardown(() => other.cut());
    await other.until(({ events }) => events.length === 1);

    let closedAfter = Infinity;
    const refusedAfter = await tookAtMost(1000, async () => {
      const { id, key } = await make(one, SCOPES);
      const stream = new Follower(base, '/changes', bearer(key));
      await stream.until(({ events }) => events.length === 1);
      t.equal((await two.request('GET', '/users', { headers: bearer(key) })).status, 200);
      await one.request('DELETE', `/keys/${id}`, { headers: bearer(key) });
      const from = performance.now();
      while ((await two.request('GET', '/users', { headers: bearer(key) })).status !== 401) await wait(10);
      const took = performance.now() - from;
      await stream.ended;
      closedAfter = performance.now() - from;
      return took;
    });
    t.ok(refusedAfter < 1000, `refused after ${refusedAfter} ms`);
    t.ok(closedAfter < 5000, `closed after ${closedAfter} ms`);
    t.equal((await two.request('GET', '/users', { headers: bearer(stays.key) })).status, 200);
    t.notOk((await other.answered).destroyed, 'another’s stream goes on');
  },
);

onEachDatabase('a key holds from its answer on, and none that was revoked does', async (t, dialect) => {
  const { app, request } = await startApp(t, dialect);
  const json = { name: 'admin', scopes: ['keys', 'users:read', 'changes:read'] };
  const base = await app.listen({ host: '127.0.0.1', port: 0 });
  const stream = new Follower(base, '/changes');
  await stream.until(({ events }) => events.length === 1);
  const slow = httpRequest(`${base}/keys`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', expect: '100-continue' },
  });
  slow.flushHeaders();
  await once(slow, 'continue'); // it has been let in

  const { id, key } = (await request('POST', '/keys', { json })).json<{ id: string; key: string }>();
  t.equal(
    (await request('POST', '/keys', { json })).status,
    401,
    'nobody makes the second without the first',
  );
  slow.end(JSON.stringify(json));
  const [answer] = await once(slow, 'response');
  t.equal(answer.resume().statusCode, 401, 'nor who had begun to');
  await stream.ended;

  t.equal((await request('GET', '/users', { headers: bearer(key) })).status, 200);
  t.equal((await request('DELETE', `/keys/${id}`, { headers: bearer(key) })).status, 204);
  t.equal((await request('GET', '/users', { headers: bearer(key) })).status, 401, 'revoked');
});

/** A request of which as much is read and sent as the test wants. */
function beginRequest(url: string, method: string, headers: Record<string, string>) {
  const asked = httpRequest(url, { method, headers, agent: false });
  const answered = once(asked, 'response').then(([response]) => response as IncomingMessage);
  asked.on('error', () => {}); // of what is cut off the answer tells
  return { asked, answered };
}

onEachDatabase('what a revoked key has begun is not finished', async (t, dialect) => {
  const muster = await startApp(t, dialect);
  const person = (n: number, more: object) =>
    `${JSON.stringify({ name: `Person ${n}`, email: `person.${n}@example.com`, ...more })}\n`;
  const good = Array.from({ length: 1000 }, (_, n) => person(n, { attributes: { a: 'x'.repeat(16_000) } }));
  const bad = Array.from({ length: 400 }, (_, n) => person(n, { email: 'x'.repeat(40_000) }));
  const { id: taskId } = await importFile(muster, [...good, ...bad].join(''), NDJSON);
  const { id, key } = await make(muster, SCOPES);
  await closed(muster);
  const base = await muster.app.listen({ host: '127.0.0.1', port: 0 });
  const headers = bearer(key);
  const downloads = ['/users/export', `/tasks/${taskId}/errors`].map(async (url) => {
    const { asked, answered } = beginRequest(`${base}${url}`, 'GET', headers);
    asked.end();
    const response = await answered;
    response.on('error', () => {}); // it is cut off
    const over = new Promise((resolve) => response.once('close', resolve));
    await once(response, 'readable'); // and nothing more is taken until the key is revoked
    return { url, response, over };
  });
  const begun = await Promise.all(downloads);
  const uploads = ['text/csv', 'multipart/form-data; boundary=x'].map(async (type) => {
    const { asked, answered } = beginRequest(`${base}/users/import`, 'POST', {
      ...headers,
      'content-type': type,
    });
    if (type !== 'text/csv')
      asked.write('--x\r\nContent-Disposition: form-data; name="f"; filename="f.csv"\r\n\r\n');
    asked.write('name,email\r\nAda,ada@example.com\r\n');
    return { type, asked, answered };
  });
  const sent = await Promise.all(uploads);
  while ((await countRows(muster, 'uploads')) < 3) await wait(20);
  await muster.request('DELETE', `/keys/${id}`, { headers });
  while ((await muster.request('GET', '/users', { headers })).status !== 401) await wait(20);
  for (const { url, response, over } of begun) {
    let bytes = 0;
    response.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
    });
    await over;
    t.notOk(response.complete, `${url} is cut off`);
    t.ok(bytes < 15_000_000, `after ${bytes} bytes`);
  }
  for (const { type, asked, answered } of sent) {
    asked.end(type === 'text/csv' ? '' : '--x--\r\n');
    t.equal((await answered).statusCode, 401, type);
  }
  t.equal(await countRows(muster, 'uploads'), 1, 'what they sent is not kept');
  const imports = await muster.app.reader.read(`select id from tasks where kind = 'import'`, []);
  t.equal(imports.length, 1, 'nor imported');
});

t.test('that there is a key is asked of the database until there is one, and never again', async (t) => {
  const answers = [[], [{ one: 1 }]];
  const keyring = new Keyring({ read: async () => answers.shift() } as unknown as Reader, () => {});
  t.equal(await keyring.isThereAny(), false);
  t.equal(keyring.isThereAny(), false, 'for a moment that is believed');
  keyring.forget();
  t.equal(await keyring.isThereAny(), true);
  keyring.forget();
  t.equal(keyring.isThereAny(), true);
});

t.test('an open service answers this machine’s programs, and no page of another site', async (t) => {
  const { app, request } = await startApp(t, 'sqlite');
  const base = await app.listen({ host: '127.0.0.1', port: 0 });
  for (const [path, status] of [
    ['http://evil.example/users', 403],
    ['http://localhost@evil.example/users', 403],
    ['http://localhost:3000/users', 200],
  ] as const) {
    const get = httpRequest(base, { path, headers: { host: 'localhost' } }).end();
    const [answer] = await once(get, 'response');
    t.equal(answer.resume().statusCode, status, path);
  }
  const ask = async (headers: Record<string, string>) =>
    (await request('GET', '/start-task', { headers })).status;
  for (const host of ['localhost:3000', '127.0.0.1', '127.9.8.7:80', '[::1]:3000', 'LOCALHOST']) {
    t.equal(await ask({ host }), 200, host);
  }
  for (const host of [
    'muster.example',
    'localhost.example:3000',
    '10.0.0.1',
    '127.0.0.1.nip.io',
    'example:127',
  ]) {
    t.equal(await ask({ host }), 403, host);
  }
  const host = 'localhost:3000';
  t.equal(await ask({ host, origin: 'http://localhost:3000' }), 200, 'the pages of the docs');
  t.equal(await ask({ host, 'sec-fetch-site': 'same-origin' }), 200);
  t.equal(await ask({ host, 'sec-fetch-site': 'none' }), 200, 'typed into the address bar');
  for (const foreign of [
    { origin: 'https://evil.example' },
    { origin: 'null' },
    { origin: 'http://localhost:8080' },
    { 'sec-fetch-site': 'cross-site' },
    { 'sec-fetch-site': 'same-site' },
  ] as Record<string, string>[]) {
    t.equal(await ask({ host, ...foreign }), 403, JSON.stringify(foreign));
  }
});
