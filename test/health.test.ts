import { open } from 'node:fs/promises';
import { connect } from 'node:net';
import Database from 'better-sqlite3';
import t from 'tap';
import { sqlitePath } from '../src/db/url.ts';
import { Health } from '../src/operations/health.ts';
import { type Answer, startApp, type TestApp } from './support/app.ts';
import { emptyDatabase, onEachDatabase, postgresServer } from './support/databases.ts';
import { startService } from './support/service.ts';

onEachDatabase('a replica that can serve says so, and what it has looked at', async (t, dialect) => {
  const databaseUrl = await emptyDatabase(t, dialect);
  const { request } = await startApp(t, dialect, { databaseUrl });
  t.match(await request('GET', '/health/live'), { status: 200 });
  const answer = await readyWhen(request, ({ status }) => status === 200);
  t.equal(answer.headers['cache-control'], 'no-store');
  const ok = { status: 'ok' };
  t.strictSame(answer.json(), {
    status: 'ok',
    checks: {
      service: ok,
      database: ok,
      migrations: ok,
      ...(dialect === 'sqlite' && { disk: ok }),
      runner: ok,
    },
  });
});

onEachDatabase('a replica whose database lacks a migration is not ready', async (t, dialect) => {
  const { app, request } = await startApp(t, dialect);
  await app.orm.em.fork().execute(`delete from migrations where name = '0003_changes'`);
  const answer = await readyWhen(request, ({ text }) => text.includes('Not ready: migrations.'));
  t.match(answer.json(), {
    type: 'urn:problem-type:muster:not-ready',
    status: 503,
    checks: {
      migrations: { status: 'failed', detail: '0003_changes has not run' },
      database: { status: 'ok' },
    },
  });
  t.equal(answer.headers['retry-after'], '1');
  t.match(await request('GET', '/health/live'), { status: 200 }, 'alive it is');
});

t.test('a file that turns out to be damaged is told by every check from then on', async (t) => {
  const databaseUrl = await emptyDatabase(t, 'sqlite');
  const path = sqlitePath(databaseUrl);
  const { request } = await startApp(t, 'sqlite', { databaseUrl, logLevel: 'silent' });
  await request('POST', '/users', { json: { name: 'Ada', email: 'ada@example.com' } });
  const database = new Database(path);
  database.pragma('wal_checkpoint(truncate)');
  const page = database.prepare(`select rootpage from sqlite_schema where name = 'changes'`).pluck().get();
  database.close();
  const file = await open(path, 'r+');
  await file.write(Buffer.alloc(4096, 0xaa), 0, 4096, (Number(page) - 1) * 4096);
  await file.close();
  t.match(await request('GET', '/changes?after=0'), { status: 500 });
  const answer = await readyWhen(request, ({ text }) => text.includes('damaged'));
  t.match(answer.json(), {
    status: 503,
    checks: { database: { status: 'failed', detail: 'its file is damaged' } },
  });
  t.match(await request('GET', '/users/1'), { status: 200 }, 'what is whole is still read');
});

onEachDatabase('it is ready although every write waits and the pool is in use', async (t, dialect) => {
  const { app, request } = await startApp(t, dialect, { databasePoolMax: 2 });
  await readyWhen(request, ({ status }) => status === 200);
  const held = Promise.withResolvers<void>();
  const begun = Array.from({ length: 2 }, () => Promise.withResolvers<void>());
  const holders = begun.map(({ resolve }) =>
    app.orm.em.fork().transactional(async (em) => {
      await em.execute('select 1');
      resolve();
      await held.promise;
    }),
  );
  await Promise.race(begun.map(({ promise }) => promise));
  if (dialect === 'postgresql') await Promise.all(begun.map(({ promise }) => promise));
  const writes = Array.from({ length: 10_100 }, () => app.write(async () => 1).catch((error) => error.code));
  t.equal(await writes.at(-1), 'too-busy', 'the queue is full');
  for (let checks = 0; checks < 2; checks++) {
    await new Promise((resolve) => setTimeout(resolve, 1100)); // longer than an answer is kept
    await readyWhen(request, ({ status }) => status === 200);
  }
  held.resolve();
  await Promise.all([...holders, ...writes]);
});

t.test('a full disk makes a service on SQLite not ready', async (t) => {
  const databaseUrl = await emptyDatabase(t, 'sqlite');
  const { request } = await startApp(t, 'sqlite', { databaseUrl, minFreeDiskMb: 1e9 });
  const answer = await readyWhen(request, ({ text }) => text.includes('are free'));
  t.match(answer.json(), {
    status: 503,
    checks: { disk: { status: 'failed', detail: /^\d+ MB are free$/ } },
  });
});

t.test('a database that is away makes it not ready, and ready again when it is back', async (t) => {
  const server = await postgresServer();
  const databaseUrl = await emptyDatabase(t, 'postgresql');
  const { request } = await startApp(t, 'postgresql', { databaseUrl });
  await readyWhen(request, ({ status }) => status === 200);
  const name = new URL(databaseUrl).pathname.slice(1);
  await server.query(`alter database ${name} with allow_connections false`);
  await server.query(`select pg_terminate_backend(pid) from pg_stat_activity where datname = '${name}'`);
  const { text } = await readyWhen(request, ({ text }) => text.includes('"database":{"status":"failed"'));
  t.match(JSON.parse(text), { status: 503 });
  t.notMatch(text, /127\.0\.0\.1|localhost|password|test_\d/, 'it says nothing of where and who');
  t.match(await request('GET', '/health/live'), { status: 200 });
  await server.query(`alter database ${name} with allow_connections true`);
  await readyWhen(request, ({ status }) => status === 200);
});

t.test(
  'a check that does not answer counts as failed after a second, and all who ask share it',
  async (t) => {
    let made = 0;
    const health = new Health(() => {});
    health.serves = true;
    health.check('deaf', () => {
      made++;
      return new Promise(() => {});
    });
    const answers = await Promise.all([health.ask(), health.ask(), health.ask()]);
    t.strictSame(answers[2]?.checks.deaf, { status: 'failed', detail: 'gave no answer within a second' });
    t.equal(made, 1);
  },
);

t.test('while it stops it is alive and not ready', async (t) => {
  const service = await startService(t, { DATABASE_URL: await emptyDatabase(t, 'sqlite') });
  const { port, hostname } = new URL(service.base);
  const ask = async (path: string, socket = connect(Number(port), hostname)) => {
    const answered = new Promise<string>((resolve) => socket.once('data', (data) => resolve(String(data))));
    socket.write(`GET ${path} HTTP/1.1\r\nHost: ${hostname}\r\n\r\n`);
    return { socket, text: await answered };
  };
  // Requests that hold up the end, on connections that were there before it began.
  const holder = connect(Number(port), hostname);
  holder.on('error', () => {});
  const head = `POST /users HTTP/1.1\r\nHost: ${hostname}\r\nContent-Type: application/json\r\nContent-Length: 99\r\n`;
  holder.write(`${head}Expect: 100-continue\r\n\r\n`);
  await new Promise((resolve) => holder.once('data', resolve));
  // A request whose head is not whole keeps its connection from being idle.
  const halves = ['/health/live', '/health/ready'].map((path) => {
    const socket = connect(Number(port), hostname);
    socket.write(`GET ${path} HTTP/1.1\r\nHost: ${hostname}\r\n`);
    return socket;
  });
  await ask('/health/live');
  const ended = service.end('SIGTERM');
  await service.said(/finishing what runs/);
  const [live, ready] = await Promise.all(
    halves.map((socket) => {
      const answered = new Promise<string>((resolve) => socket.once('data', (data) => resolve(String(data))));
      socket.write('\r\n');
      return answered;
    }),
  );
  t.match(live, /^HTTP\/1\.1 200 /);
  t.match(ready, /^HTTP\/1\.1 503 [\s\S]*is starting or stopping/);
  holder.destroy();
  t.equal(await ended, 0);
});

/** What the probe says when it says what is `wanted`. */
async function readyWhen(request: TestApp['request'], wanted: (answer: Answer) => boolean): Promise<Answer> {
  for (const end = performance.now() + 20_000; performance.now() < end; ) {
    const answer = await request('GET', '/health/ready');
    if (wanted(answer)) return answer;
    await new Promise((resolve) => setImmediate(resolve));
  }
  throw new Error('it did not come to be');
}
