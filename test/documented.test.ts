import t, { type Test } from 'tap';
import { buildApp } from '../src/app.ts';
import { loadConfig } from '../src/config.ts';
import { createDocumentCheck, type Exchange } from './support/documented.ts';

/** An app, and a function that sends a request and gives the response as the check takes it. */
async function start(test: Test) {
  const app = await buildApp(loadConfig({ DATABASE_URL: 'sqlite::memory:', LOG_LEVEL: 'silent' }));
  test.teardown(() => app.close());
  await app.ready();
  const check = createDocumentCheck((await app.inject('/openapi.json')).json());
  const send = async (
    method: 'GET' | 'HEAD' | 'POST' | 'PATCH' | 'DELETE' | 'PUT' | 'OPTIONS',
    url: string,
    headers: Record<string, string> = {},
    payload?: string,
  ): Promise<Exchange> => {
    const response = await app.inject({ method, url, headers, ...(payload !== undefined && { payload }) });
    const { statusCode, headers: sent, payload: body } = response;
    return { method, url, statusCode, headers: sent, body };
  };
  const json = { 'content-type': 'application/json' };
  const created = await send('POST', '/users', json, '{"name": "Ada", "email": "ada@example.com"}');
  return { check, send, json, created };
}

t.test('what the service answers is as its document says', async (t) => {
  const { check, send, json, created } = await start(t);
  const patch = { 'content-type': 'application/merge-patch+json' };
  const exchanges = [
    created,
    await send('POST', '/users', json, '{"name": "Ada", "email": "ADA@example.com"}'),
    await send('POST', '/users', json, '{"name": 1}'),
    await send('POST', '/users', json, '{'),
    await send('POST', '/users', { 'content-type': 'text/plain' }, 'Ada'),
    await send('POST', '/users', { ...json, 'content-encoding': 'gzip' }, 'Ada'),
    await send('POST', '/users', json, JSON.stringify('x'.repeat(300_000))),
    await send('POST', '/users', { ...json, 'idempotency-key': 'é' }, '{}'),
    await send('GET', '/users'),
    await send('GET', 'http://localhost/%75sers?limit=1'),
    await send('GET', '/users?after=x'),
    await send('GET', '/users', { 'content-encoding': 'gzip' }),
    await send('GET', '/users/1'),
    await send('GET', '/users/1', { 'if-match': '"9"' }),
    await send('GET', '/users/2'),
    await send('GET', '/users/x'),
    await send('GET', '/users/%FF'),
    await send('GET', `/users/${'1'.repeat(101)}`),
    await send('HEAD', '/users/1'),
    await send('HEAD', '/users/2'),
    await send('PATCH', '/users/1', patch, '{"name": "Ada King"}'),
    await send('PATCH', '/users/1', { 'content-type': 'text/plain' }, 'x'),
    await send('PATCH', '/users/1', { ...patch, 'if-match': '"9"' }, '{}'),
    await send('GET', '/user/1'),
    await send('GET', '/user/2'),
    await send('POST', '/add-user', json, '{"name": "Bo", "email": "bo@example.com"}'),
    await send('GET', '/users?limit=1'),
    await send('DELETE', '/users/1', { 'content-type': 'text/plain' }, 'x'),
    await send('DELETE', '/users/1', { 'if-match': '"9"' }),
    await send('DELETE', '/users/1'),
    await send('DELETE', '/users/1'),
  ];
  for (const exchange of exchanges) check(exchange);
  const statuses = new Set(exchanges.map(({ statusCode }) => statusCode));
  t.strictSame(
    [...statuses].sort(),
    [200, 201, 204, 400, 404, 409, 412, 413, 414, 415, 422],
    'each kind of answer was among them',
  );
});

t.test('what the document does not list is a problem, or a page', async (t) => {
  const { check, send } = await start(t);
  const expected = [
    { status: 404, exchange: await send('GET', '/nothing') },
    { status: 404, exchange: await send('HEAD', '/nothing') },
    { status: 405, exchange: await send('PUT', '/users') },
    { status: 204, exchange: await send('OPTIONS', '/users') },
    { status: 200, exchange: await send('GET', '/docs') },
    { status: 404, exchange: await send('GET', '/docs/static/nothing') },
    { status: 200, exchange: await send('GET', '/openapi.json') },
    { status: 405, exchange: await send('DELETE', '/openapi.json') },
  ];
  for (const { status, exchange } of expected) {
    t.equal(exchange.statusCode, status);
    check(exchange);
  }
  const slow = { ...(await send('GET', '/users/2')), statusCode: 408 };
  check(slow);
  t.throws(() => check({ ...slow, body: '' }), { message: /not JSON/ }, 'before a route is asked, too');
});

t.test('an answer that differs from the document is refused, with the reason', async (t) => {
  const { check, send, json, created } = await start(t);
  const user = JSON.parse(created.body);
  const { etag, ...withoutEtag } = created.headers;
  const body = (change: object) => ({ body: JSON.stringify({ ...user, ...change }) });
  const found = await send('GET', '/users/1');
  const missing = await send('GET', '/users/2');
  const gone = { ...(await send('DELETE', '/users/1')), body: '' };
  const unknown = await send('GET', '/nothing');
  const head = await send('HEAD', '/users');
  const oddities: [string, Exchange, RegExp][] = [
    ['an unlisted status', { ...created, statusCode: 202 }, /status is not one of 201, 400/],
    ['an unlisted path', { ...found, url: '/people/1' }, /lists no such path and method/],
    ['an unlisted method', { ...found, method: 'PUT' }, /lists no such path and method/],
    ['a member too many', { ...created, ...body({ secret: 1 }) }, /additional properties \(secret\)/],
    ['a member too few', { ...created, ...body({ name: undefined }) }, /required property 'name'/],
    ['a member of another type', { ...created, ...body({ version: '1' }) }, /\/version must be integer/],
    ['an address that is none', { ...created, ...body({ email: 'ada' }) }, /\/email must match format/],
    [
      'attributes above the limit',
      { ...created, ...body({ attributes: { a: 'x'.repeat(16_384) } }) },
      /\/attributes must pass "x-maxBytes"/,
    ],
    ['a body that is not JSON', { ...created, body: 'Ada' }, /not JSON: "Ada"/],
    [
      'another media type',
      { ...created, headers: { ...created.headers, 'content-type': 'text/html' } },
      /media type is text\/html, not application\/json/,
    ],
    ['no media type', { ...created, headers: { etag, location: '/users/1' } }, /media type is undefined/],
    ['a missing header', { ...created, headers: withoutEtag }, /header ETag is missing/],
    [
      'a header of another form',
      { ...created, headers: { ...created.headers, etag: 'W/"1"' } },
      /header ETag does not fit: must match pattern/,
    ],
    [
      'a header that is no number',
      {
        ...missing,
        statusCode: 503,
        headers: { ...missing.headers, 'Retry-After': 'soon' },
      },
      /header Retry-After does not fit: must be integer/,
    ],
    [
      'an unlisted header of the API',
      { ...missing, headers: { ...missing.headers, ETag: '"1"' } },
      /header etag is not listed/,
    ],
    ['a body where there is none', { ...gone, body: 'null' }, /has no body/],
    [
      'a media type where there is no body',
      { ...gone, headers: { ...gone.headers, 'content-type': 'application/json' } },
      /has no body, yet says it is application\/json/,
    ],
    ['a body after HEAD', { ...head, body: '[]' }, /answer to HEAD has no body/],
    [
      'a refusal that is no problem document',
      { ...unknown, headers: { 'content-type': 'application/json' } },
      /refusal is application\/problem\+json, not application\/json/,
    ],
    ['a problem without its members', { ...unknown, body: '{"status": 404}' }, /required property 'type'/],
    [
      'a fault without its place',
      {
        ...(await send('POST', '/users', json, '{}')),
        body: missing.body.replace('}', ', "errors": [{"detail": "is required"}]}'),
      },
      /\/errors\/0 must have required property 'pointer'/,
    ],
  ];
  t.doesNotThrow(() => check({ ...missing, statusCode: 404 }), 'they are fine as they came');
  for (const [what, exchange, reason] of oddities) t.throws(() => check(exchange), { message: reason }, what);
});

t.test('the reason names the request', async (t) => {
  const { check, created } = await start(t);
  t.throws(() => check({ ...created, statusCode: 202 }), {
    message: /^POST \/users was answered 202 against the API document: /,
  });
});
