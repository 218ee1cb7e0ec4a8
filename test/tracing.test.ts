import { execFile } from 'node:child_process';
import { createServer } from 'node:net';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import t from 'tap';
import { loadConfig, type OTEL_SETTINGS } from '../src/config.ts';
import { type Span, startCollector } from './support/collector.ts';
import { emptyDatabase, onEachDatabase } from './support/databases.ts';
import { fetch } from './support/fetch.ts';
import { startReceiver } from './support/receiver.ts';
import { startService } from './support/service.ts';

const CALLER = { trace: '0af7651916cd43dd8448eb211c80319c', span: 'b7ad6b7169203331' };
const [SERVER, CLIENT, CONSUMER] = [2, 3, 5];
const json = { 'content-type': 'application/json' };

onEachDatabase('a request, the task that it leads to and the webhook are one trace', async (t, dialect) => {
  const collector = await startCollector(t);
  const receiver = await startReceiver(t);
  const service = await startService(t, {
    DATABASE_URL: await emptyDatabase(t, dialect),
    WEBHOOK_ALLOWED_NETWORKS: '127.0.0.0/8',
    OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
    OTEL_SERVICE_NAME: 'directory',
  });
  const send = async (method: string, path: string, body: unknown, headers = {}) => {
    const init = { method, headers: { ...json, ...headers }, body: JSON.stringify(body) };
    return (await fetch(`${service.base}${path}`, init)).json() as Promise<{ id: number }>;
  };
  await send('POST', '/webhooks', { url: receiver.url });
  const traceparent = `00-${CALLER.trace}-${CALLER.span}-01`;
  const { id } = await send('POST', '/users', { name: 'Ada', email: 'ada@example.com' }, { traceparent });
  const [message] = await receiver.until(({ length }) => length === 1);
  const parts = [{ kind: 'sleep', input: { ms: 1 } }];
  const gather = await send('POST', '/tasks', { kind: 'gather', input: { tasks: parts } });
  await fetch(`${service.base}/tasks/${gather.id}`, { headers: { prefer: 'wait=20' } });
  await fetch(`${service.base}/users/${id}`);
  await fetch(`${service.base}/nothing/ada@example.com`);
  await fetch(`${service.base}/health/live`);
  await collector.until(10); // the seven requests, the three tasks
  t.equal(await service.end('SIGTERM'), 0);

  const { spans } = collector;
  const one = (wanted: (span: Span) => boolean, what: string): Span => {
    const found = spans.filter(wanted);
    t.equal(found.length, 1, `one span of ${what}`);
    return found[0] as Span;
  };
  const request = one(({ name }) => name === 'POST /users', 'the request');
  t.match(request, { traceId: CALLER.trace, parentId: CALLER.span, kind: SERVER, failed: false });
  t.match(request.attributes, {
    'http.request.method': 'POST',
    'http.route': '/users',
    'http.response.status_code': 201,
    'url.scheme': 'http',
  });
  const delivery = one(({ name }) => name === 'task deliver', 'the task');
  t.match(delivery, { traceId: CALLER.trace, parentId: request.spanId, kind: CONSUMER });
  t.match(delivery.attributes, { 'muster.task.kind': 'deliver', 'muster.task.attempt': 1 });
  const webhook = one(({ kind }) => kind === CLIENT, 'the webhook');
  t.match(webhook, { traceId: CALLER.trace, parentId: delivery.spanId, name: 'POST' });
  t.match(webhook.attributes, { 'server.address': '127.0.0.1', 'http.response.status_code': 204 });
  t.equal(message?.headers.traceparent, `00-${CALLER.trace}-${webhook.spanId}-01`, 'the receiver is told');

  const asked = one(({ name }) => name === 'POST /tasks', 'what asks for a gather');
  const parent = one(({ name }) => name === 'task gather', 'the gather');
  const child = one(({ name }) => name === 'task sleep', 'its child');
  t.equal(parent.parentId, asked.spanId);
  t.match(child, { parentId: parent.spanId, traceId: asked.traceId });
  t.not(asked.traceId, CALLER.trace);

  const lookup = one(({ name }) => name === 'GET /users/:id', 'the look-up');
  t.equal(lookup.attributes['http.route'], '/users/:id');
  t.match(
    one(({ name }) => name === 'GET', 'a path that there is not'),
    {
      attributes: { 'http.response.status_code': 404 },
    },
  );
  t.notOk(
    spans.some(({ name }) => name.includes('health')),
    'probes are no traces',
  );
  t.match(collector.bytes(), /directory/, 'the name of the service is told');
  t.notMatch(
    collector.bytes(),
    /ada@|lovelace|\/users\/\d|\/hook/i,
    'and nothing of a person, nor a whole path',
  );
});

t.test('what ends just before the service does is sent', async (t) => {
  const collector = await startCollector(t);
  // The end waits for the collector, in this process, no longer than a second.
  for (let tries = 0; tries < 5 && collector.spans.length === 0; tries++) {
    const service = await startService(t, {
      DATABASE_URL: await emptyDatabase(t, 'sqlite'),
      OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
    });
    await fetch(`${service.base}/users`);
    t.equal(await service.end('SIGTERM'), 0);
  }
  t.match(collector.spans, [{ name: 'GET /users' }]);
});

t.test('a collector that is away or does not answer changes nothing', async (t) => {
  const silent = createServer((socket) => socket.on('error', () => {}));
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
  t.teardown(() => silent.close());
  const { port } = silent.address() as { port: number };
  for (const endpoint of [`http://127.0.0.1:${port}`, 'http://127.0.0.1:1']) {
    const service = await startService(t, {
      DATABASE_URL: await emptyDatabase(t, 'sqlite'),
      OTEL_EXPORTER_OTLP_ENDPOINT: endpoint,
    });
    for (let n = 0; n < 100; n++) await (await fetch(`${service.base}/users`)).text();
    t.equal((await fetch(`${service.base}/start-task`)).status, 200);
    const from = performance.now();
    t.equal(await service.end('SIGTERM'), 0);
    t.ok(performance.now() - from < 8000, `${endpoint}: ended in ${Math.round(performance.now() - from)} ms`);
  }
});

t.test('nothing of it is loaded unless it is asked for', async (t) => {
  const script = fileURLToPath(new URL('./support/loaded.ts', import.meta.url));
  const loaded = async (env: Record<string, string>) => {
    const clean = { PATH: process.env.PATH, DATABASE_URL: 'sqlite::memory:', LOG_LEVEL: 'silent', ...env };
    const { stdout } = await promisify(execFile)(process.execPath, [script], { env: clean });
    return JSON.parse(stdout);
  };
  const endpoint = { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:1' };
  t.strictSame(await loaded({}), { status: 201, loaded: 0 });
  t.strictSame(await loaded({ ...endpoint, OTEL_SDK_DISABLED: 'true' }), { status: 201, loaded: 0 });
  const on = await loaded(endpoint);
  t.ok(on.loaded > 10, `${on.loaded} modules when it is`);
});

t.test('the standard variables say whether traces are made, and of what', async (t) => {
  const endpoint = { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://collector:4318' };
  const all = { sampler: 'parentbased_always_on', ratio: 1 };
  t.equal(loadConfig({}).tracing, undefined);
  t.strictSame(loadConfig(endpoint).tracing, all);
  t.strictSame(loadConfig({ OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'https://x/v1/traces' }).tracing, all);
  t.strictSame(loadConfig({ OTEL_TRACES_EXPORTER: 'otlp' }).tracing, all);
  t.equal(loadConfig({ ...endpoint, OTEL_SDK_DISABLED: 'true' }).tracing, undefined);
  t.equal(loadConfig({ ...endpoint, OTEL_TRACES_EXPORTER: 'none' }).tracing, undefined);
  const tenth = { OTEL_TRACES_SAMPLER: 'parentbased_traceidratio', OTEL_TRACES_SAMPLER_ARG: '0.1' };
  t.strictSame(loadConfig({ ...endpoint, ...tenth }).tracing, {
    sampler: 'parentbased_traceidratio',
    ratio: 0.1,
  });
  const wrong: Record<keyof typeof OTEL_SETTINGS, string> = {
    OTEL_EXPORTER_OTLP_ENDPOINT: 'collector:4318',
    OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'ftp://x',
    OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc',
    OTEL_EXPORTER_OTLP_TRACES_PROTOCOL: 'http/json',
    OTEL_TRACES_EXPORTER: 'zipkin',
    OTEL_SDK_DISABLED: 'yes',
    OTEL_TRACES_SAMPLER: 'some',
    OTEL_TRACES_SAMPLER_ARG: '1.5',
  };
  for (const [name, value] of Object.entries(wrong)) {
    t.throws(() => loadConfig({ ...endpoint, [name]: value }), {
      message: new RegExp(`^${name}=".+" cannot be used: allowed is`),
    });
    t.throws(() => loadConfig({ [name]: value }), { message: name }, 'also when none are asked for');
  }
});
