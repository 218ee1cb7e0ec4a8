import { once } from 'node:events';
import { connect } from 'node:net';
import Fastify from 'fastify';
import t, { type Test } from 'tap';
import db from '../src/db/plugin.ts';
import { entities } from '../src/entities.ts';
import problem from '../src/http/problem.ts';
import streams from '../src/http/streams.ts';
import health from '../src/operations/health.ts';
import metrics from '../src/operations/metrics.ts';
import { startApp } from './support/app.ts';
import { checkAnswer, fetch } from './support/fetch.ts';

/** Sends bytes over a socket and gives all that comes back until the server ends it. */
async function raw(port: number, ...chunks: string[]): Promise<string> {
  const socket = connect(port, '127.0.0.1');
  let received = '';
  socket.on('data', (chunk) => {
    received += chunk.toString('latin1');
  });
  for (const chunk of chunks) socket.write(chunk, 'latin1');
  await new Promise((resolve) => socket.once('close', resolve));
  return received;
}

async function listening(t: Test, overrides = {}) {
  const muster = await startApp(t, 'sqlite', overrides);
  await muster.app.listen({ host: '127.0.0.1', port: 0 });
  const address = muster.app.server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return { ...muster, port: address.port, base: `http://127.0.0.1:${address.port}` };
}

t.test('a wrong method is a 405 that says which are right', async (t) => {
  const { request } = await startApp(t, 'sqlite');
  for (const [method, url, allow] of [
    ['PUT', '/users/1', 'DELETE, GET, HEAD, OPTIONS, PATCH'],
    ['DELETE', '/users', 'GET, HEAD, OPTIONS, POST'],
    ['GET', '/add-user', 'OPTIONS, POST'],
    ['POST', '/start-task', 'GET, HEAD, OPTIONS'],
    ['POST', '/user/7', 'GET, HEAD, OPTIONS'],
    ['POST', '/openapi.json', 'GET, HEAD, OPTIONS'],
    ['PROPFIND', '/users', 'GET, HEAD, OPTIONS, POST'],
    ['PUT', '/users/import', 'OPTIONS, POST'],
    ['GET', '/users/import', 'OPTIONS, POST'],
    ['HEAD', '/users/import', 'OPTIONS, POST'],
    ['PATCH', '/users/import', 'OPTIONS, POST'],
    ['DELETE', '/users/%69mport', 'OPTIONS, POST'],
    ['DELETE', '/users/export', 'GET, HEAD, OPTIONS'],
    ['POST', '/docs/start.js', 'GET, HEAD, OPTIONS'],
  ] as const) {
    const answer = await request(method, url, {
      body: 'not JSON',
      headers: { 'content-type': 'text/plain' },
    });
    t.equal(answer.status, 405, `${method} ${url}`);
    t.equal(answer.headers.allow, allow);
    t.match(answer.headers['content-type'], /^application\/problem\+json/);
  }
  t.equal((await request('OPTIONS', '/users/import')).headers.allow, 'OPTIONS, POST');
  const options = await request('OPTIONS', '/users');
  t.equal(options.status, 204);
  t.equal(options.headers.allow, 'GET, HEAD, OPTIONS, POST');
});

t.test('a parameter that a route does not know is refused, not ignored', async (t) => {
  const { request } = await startApp(t, 'sqlite');
  for (const url of ['/users/1?fields=name', '/user/1?x', '/start-task?ms=1', '/openapi.json?v=2']) {
    t.match((await request('GET', url)).json(), { status: 400, errors: [{ in: 'query' }] }, url);
  }
});

t.test('a body of thousands of unknown members gets a short answer', async (t) => {
  const { request } = await startApp(t, 'sqlite');
  const json = Object.fromEntries(Array.from({ length: 20_000 }, (_, at) => [`m${at}`, 1]));
  const answer = await request('POST', '/users', { json });
  t.equal(answer.status, 422);
  t.ok(answer.text.length < 1000);
});

t.test('unknown routes and unreadable paths are problem documents', async (t) => {
  const { request } = await startApp(t, 'sqlite');
  for (const [url, status] of [
    ['/nothing', 404],
    ['/users/', 400],
    ['/users/1/2', 404],
    ['/users/%', 400],
    ['/users/%ff', 400],
    ['/users/%00', 400],
    ['/users?name=%ed%a0%80', 400],
    ['/users?name=a%00', 400],
    [`/users/${'1'.repeat(200)}`, 414],
  ] as const) {
    const answer = await request('GET', url);
    t.equal(answer.status, status, url);
    t.match(answer.headers['content-type'], /^application\/problem\+json/, url);
    t.match(answer.json(), { type: String, title: String, status, detail: String, instance: String }, url);
  }
});

t.test('what is not HTTP, or not for one host, is a problem document too', async (t) => {
  const { port } = await listening(t);
  for (const [title, request, status] of [
    ['no HTTP', 'hello\r\n\r\n', 400],
    ['no Host', 'GET /users HTTP/1.1\r\nConnection: close\r\n\r\n', 400],
    ['two Hosts', 'GET /users HTTP/1.1\r\nHost: localhost\r\nHost: b\r\nConnection: close\r\n\r\n', 400],
    [
      'two lengths',
      'POST /users HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n',
      400,
    ],
    [
      'a length and chunks',
      'POST /users HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n',
      400,
    ],
    ['a header too large', `GET / HTTP/1.1\r\nHost: localhost\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`, 431],
    [
      'an expectation',
      'POST /users HTTP/1.1\r\nHost: localhost\r\nExpect: a-miracle\r\nConnection: close\r\n\r\n',
      417,
    ],
  ] as const) {
    const answer = await raw(port, request);
    t.match(answer, new RegExp(`^HTTP/1.1 ${status} `), title);
    const [head = '', body = ''] = answer.split('\r\n\r\n');
    const headers = Object.fromEntries(
      head
        .split('\r\n')
        .slice(1)
        .map((line) => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 2)]),
    );
    checkAnswer({ method: 'GET', url: '/unknown', statusCode: status, headers, body });
    t.match(JSON.parse(body), { status }, title);
  }
});

t.test('a client that sends its header drop by drop is let go', async (t) => {
  const { port } = await listening(t, { requestTimeoutMs: 1000 });
  const answer = await raw(port, 'GET /users HTTP/1.1\r\nHost: localhost\r\n', 'X-Slow: ');
  t.match(answer, /^HTTP\/1.1 408 /);
  const body = await raw(
    port,
    'POST /users HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{',
  );
  t.match(body, /^HTTP\/1.1 408 /, 'and so is one that never ends its body');
});

t.test('a client that never closes is broken off soon after it was refused', async (t) => {
  const { port, app } = await listening(t);
  // It reads the answer and its end, and keeps its own side open.
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  t.teardown(() => socket.destroy());
  const ended = once(socket.resume(), 'end');
  const [accepted] = await Promise.all([once(app.server, 'connection'), once(socket, 'connect')]);
  socket.write('hello\r\n\r\n');
  await ended;
  await once(accepted[0], 'close');
  t.ok(accepted[0].destroyed);
});

t.test('connections beyond the limit are closed at once', async (t) => {
  const { port, base } = await listening(t, { maxConnections: 2 });
  const held = [connect(port, '127.0.0.1'), connect(port, '127.0.0.1')];
  await Promise.all(held.map((socket) => new Promise((resolve) => socket.once('connect', resolve))));
  await t.rejects(fetch(`${base}/users`), 'the third');
  for (const socket of held) socket.destroy();
});

t.test(
  'an error nobody expected says nothing about the inside, and the log has it under the same id',
  async (t) => {
    const { app, request, log } = await startApp(t, 'sqlite', { logLevel: 'info' });
    await request('POST', '/users', { json: { name: 'Secret Name', email: 'secret@example.com' } });
    await app.orm.em.fork().execute('drop table users');
    const answer = await request('POST', '/users', {
      json: { name: 'Secret Name', email: 'secret@example.com' },
    });
    t.equal(answer.status, 500);
    t.notMatch(answer.text, /table|select|insert|sqlite|mikro/i);
    const { instance } = answer.json<{ instance: string }>();
    t.ok(log.some((line) => line.level === 50 && line.reqId === instance));
  },
);

t.test('the log says what was asked, and nothing about whom', async (t) => {
  const { app, request, log } = await startApp(t, 'sqlite');
  await request('POST', '/users', { json: { name: 'Secret Name', email: 'secret@example.com' } });
  await request('POST', '/users', { json: { name: 'Secret Name', email: 'secret@example.com' } });
  await request('GET', '/users?email=secret@example.com&name=Secret%20Name');
  await request('GET', '/secret@example.com');
  await request('POST', '/users', { body: '{"name":"Secret Name"' });
  await app.orm.em.fork().execute('drop table users');
  await request('POST', '/users', { json: { name: 'Secret Name', email: 'secret@example.com' } });
  t.match(
    JSON.stringify(log.find(({ msg }) => msg === 'request')),
    /"reqId":"[-0-9a-f]{36}","method":"POST","route":"\/users","status":201,"ms":/,
  );
  const text = JSON.stringify(log);
  t.notMatch(text, /secret/i);
  t.notMatch(text, /127\.0\.0\.1/);
});

t.test('who leaves before the answer has gone is logged and counted, once', async (t) => {
  const { app, request, log, port, base } = await listening(t);
  for (let id = 1; id <= 400; id++) {
    const json = { name: 'n', email: `${id}@example.com`, attributes: { x: 'x'.repeat(16_000) } };
    await request('POST', '/users', { json });
  }
  await request('POST', '/tasks', { json: { kind: 'sleep', input: { ms: 60_000 } } });
  const lines = () => log.filter(({ msg, status }) => msg === 'request' && status === 499);
  const head = (line: string, ...rest: string[]) => [line, 'Host: localhost', ...rest, '', ''].join('\r\n');
  const json = ['Content-Type: application/json', 'Content-Length: 99'];
  const csv = ['Content-Type: text/csv', 'Content-Length: 99'];
  for (const [text, hasBegun] of [
    [`${head('POST /users HTTP/1.1', ...json)}{`, 'request'],
    [`${head('POST /users/import HTTP/1.1', ...csv)}name,email\r\n`, 'request'],
    [head('GET /tasks/1 HTTP/1.1', 'Prefer: wait=60'), 'request'],
    [head('GET /users/export HTTP/1.1'), 'data'],
  ] as const) {
    const before = lines().length;
    const socket = connect(port, '127.0.0.1');
    const begun = hasBegun === 'data' ? once(socket, 'readable') : once(app.server, 'request');
    socket.write(text);
    await begun;
    socket.destroy();
    while (lines().length === before) await new Promise(setImmediate);
  }
  await (await fetch(`${base}/users/1`)).text();
  t.strictSame(
    lines().map(({ method, route }) => `${method} ${route}`),
    ['POST /users', 'POST /users/import', 'GET /tasks/:id', 'GET /users/export'],
  );
  const metrics = (await request('GET', '/metrics')).text;
  t.match(metrics, 'muster_http_requests_total{method="GET",route="/users/export",status="499"} 1\n');
  t.match(metrics, 'muster_http_request_duration_seconds_count{method="GET",route="/users/export"} 0\n');
});

t.test('two services live in one process, each with its own people', async (t) => {
  const one = await startApp(t, 'sqlite');
  const two = await startApp(t, 'sqlite');
  await one.request('POST', '/users', { json: { name: 'Ada', email: 'ada@example.com' } });
  t.equal((await one.request('GET', '/users/1')).status, 200);
  t.equal((await two.request('GET', '/users/1')).status, 404);
  await one.app.close();
  t.equal((await two.request('GET', '/users')).status, 200, 'and one outlives the other');
});

t.test('each request has an entity manager of its own, and one only', async (t) => {
  const app = Fastify();
  for (const before of [problem, health]) await app.register(before);
  await app.register(streams, { mostPerClient: 1 });
  await app.register(metrics);
  await app.register(db, { databaseUrl: 'sqlite::memory:', poolMax: 1, minFreeBytes: 0, entities });
  t.teardown(() => app.close());
  const seen: unknown[] = [];
  app.get('/', { schema: { security: [] } }, async (request) => {
    seen.push(request.em, request.em);
    return {};
  });
  await app.inject('/');
  await app.inject('/');
  t.equal(seen[0], seen[1]);
  t.equal(seen[2], seen[3]);
  t.not(seen[0], seen[2]);
  t.notOk(seen.includes(app.orm.em), 'never the one they are all forked from');
});
