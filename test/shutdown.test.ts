import { connect } from 'node:net';
import t from 'tap';
import { emptyDatabase } from './support/databases.ts';
import { fetch } from './support/fetch.ts';
import { failService, startService } from './support/service.ts';

/** Starts a task that goes on until the end, and waits until it has really begun. */
async function startTask(base: string): Promise<void> {
  const headers = { 'content-type': 'application/json' };
  const body = JSON.stringify({ kind: 'sleep', input: { ms: 3_600_000 } });
  await fetch(`${base}/tasks`, { method: 'POST', headers, body });
  while (((await (await fetch(`${base}/tasks?state=running`)).json()) as unknown[]).length === 0);
}

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  t.test(`${signal} finishes what runs, refuses what is new, and ends with 0`, async (t) => {
    const service = await startService(t, { DATABASE_URL: await emptyDatabase(t, 'sqlite') });
    const { port, hostname } = new URL(service.base);
    await startTask(service.base);
    // A request that has begun when the signal comes, and ends after it.
    const socket = connect(Number(port), hostname);
    let answer = '';
    socket.on('data', (chunk) => {
      answer += chunk;
    });
    const body = JSON.stringify({ name: 'Last', email: 'last@example.com' });
    const closed = new Promise((resolve) => socket.once('close', resolve));
    socket.write(
      `POST /users HTTP/1.1\r\nHost: ${hostname}\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\nExpect: 100-continue\r\n\r\n`,
    );
    // The interim answer says that the route has the request.
    await new Promise((resolve) => socket.once('data', resolve));
    const ended = service.end(signal);
    await service.said(/finishing what runs/);
    socket.write(`${body}`);
    await closed;
    t.match(answer, /HTTP\/1\.1 201 Created/, 'the request that ran was finished');
    await t.rejects(fetch(`${service.base}/users`), 'a new connection is refused');
    t.equal(await ended, 0);
    t.match(service.output(), /sleep was cut short[\s\S]*stopped/, 'the background task is handed back');
  });
}

t.test('a client that never ends its request does not hold up the end', async (t) => {
  const service = await startService(t, {
    DATABASE_URL: await emptyDatabase(t, 'sqlite'),
    SHUTDOWN_TIMEOUT_MS: '10000',
  });
  const { port, hostname } = new URL(service.base);
  await startTask(service.base);
  const socket = connect(Number(port), hostname);
  socket.on('error', () => {});
  const head = `POST /users HTTP/1.1\r\nHost: ${hostname}\r\nContent-Type: application/json\r\nContent-Length: 99\r\n`;
  socket.write(`${head}Expect: 100-continue\r\n\r\n`);
  await new Promise((resolve) => socket.once('data', resolve));
  t.equal(await service.end('SIGTERM'), 0);
  t.match(service.output(), /sleep was cut short[\s\S]*stopped/);
});

t.test('before the port is closed, balancers may have time to notice', async (t) => {
  const service = await startService(t, {
    DATABASE_URL: await emptyDatabase(t, 'sqlite'),
    SHUTDOWN_DRAIN_MS: '5000',
  });
  const from = performance.now();
  const ended = service.end('SIGTERM');
  const status = async (path: string) => (await fetch(`${service.base}${path}`)).status;
  while ((await status('/health/ready')) === 200) await new Promise((resolve) => setTimeout(resolve, 10));
  t.equal(await status('/health/ready'), 503);
  t.equal(await status('/users'), 200, 'whoever comes meanwhile is served');
  t.equal(await ended, 0);
  t.ok(performance.now() - from >= 5000);
});

t.test('whoever reads the log may go first', async (t) => {
  const service = await startService(t, { DATABASE_URL: await emptyDatabase(t, 'sqlite') });
  service.process.stdout?.destroy();
  service.process.stderr?.destroy();
  await fetch(`${service.base}/users`);
  t.equal(await service.end('SIGTERM'), 0);
});

t.test('a port that is taken, or an address that is not ours, stops the start with one line', async (t) => {
  const { base } = await startService(t, { DATABASE_URL: await emptyDatabase(t, 'sqlite') });
  const env = { DATABASE_URL: await emptyDatabase(t, 'sqlite') };
  const issuer = { JWT_ISSUER: 'https://issuer.example', JWT_AUDIENCE: 'muster' };
  const wrongs: Record<string, string>[] = [
    { PORT: new URL(base).port },
    { HOST: '192.0.2.1', ...issuer },
    { HOST: 'no.such.host.invalid', ...issuer },
  ];
  for (const wrong of wrongs) {
    const { code, output } = await failService(t, { ...env, LOG_LEVEL: 'warn', ...wrong });
    t.equal(code, 1, JSON.stringify(wrong));
    t.match(output, /^Muster does not start: HOST=.+ PORT=.+ cannot be listened on: .+\n$/);
  }
});
