import { once } from 'node:events';
import { request as httpRequest } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Readable } from 'node:stream';
import { setTimeout as wait } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import t, { type Test } from 'tap';
import type { Tx } from '../src/db/tx.ts';
import type { DialectName } from '../src/db/url.ts';
import type { OnConflict } from '../src/transfers/apply.ts';
import { giveToTask, receiveUpload, removeUpload } from '../src/transfers/uploads.ts';
import { startApp, type TestApp } from './support/app.ts';
import { emptyDatabase, onEachDatabase } from './support/databases.ts';
import { fetch } from './support/fetch.ts';
import { startService } from './support/service.ts';
import { endedTask, startTaskService } from './support/task-client.ts';
import { settled } from './support/tasks.ts';
import { countRows, importFile, NDJSON, people } from './support/transfers.ts';

/** Begins to send a file, without saying how long it is. */
async function beginUpload({ app }: TestApp, path = '/users/import', type = 'text/csv') {
  if (app.server.address() === null) await app.listen({ host: '127.0.0.1', port: 0 });
  const { port } = app.server.address() as AddressInfo;
  const headers = { 'content-type': type };
  const request = httpRequest({ host: '127.0.0.1', port, path, method: 'POST', headers });
  const answered = once(request, 'response').then(([response]) => {
    response.resume();
    return Number(response.statusCode);
  });
  answered.catch(() => {});
  request.on('error', () => {});
  return { request, answered };
}

interface Shown {
  state: string;
  attempt: number;
  progress?: { done: number };
  result?: object;
}

async function until(isSo: () => Promise<boolean>): Promise<void> {
  while (!(await isSo())) await wait(5);
}

t.test('what is wrong with a whole file is said, not that it broke off', async (t) => {
  const { app } = await startApp(t, 'sqlite');
  const base = await app.listen({ host: '127.0.0.1', port: 0 });
  const wrong: [string, string, string][] = [
    ['text/csv', 'nothing\n1\n', 'invalid-csv-header'],
    ['text/csv', '', 'invalid-csv-header'],
  ];
  for (const [type, body, code] of wrong) {
    const answer = await fetch(`${base}/users/import`, {
      method: 'POST',
      headers: { 'content-type': type },
      body,
    });
    t.equal(answer.status, 422);
    t.match(((await answer.json()) as { type: string }).type, new RegExp(`${code}$`));
  }
});

onEachDatabase('an upload that breaks off leaves nothing', async (t, dialect) => {
  const app = await startApp(t, dialect);
  const { request } = await beginUpload(app);
  request.write(people(20_000));
  await until(async () => (await countRows(app, 'upload_blocks')) > 1);
  request.destroy();
  await until(async () => (await countRows(app, 'uploads')) === 0);
  t.equal(await countRows(app, 'upload_blocks'), 0);
  t.equal(await countRows(app, 'users'), 0);
  t.notOk(
    app.log.some(({ level }) => level >= 50),
    'nobody is alarmed',
  );
});

t.test('an upload may take longer than a request, but not stand still', async (t) => {
  const app = await startApp(t, 'sqlite', { requestTimeoutMs: 5000 });
  const stalled = await beginUpload(app);
  stalled.request.write('name,email\n');
  const elsewhere = await beginUpload(app, '/users', 'application/json');
  elsewhere.request.write('x');
  const slow = await beginUpload(app);
  const row = (n: number) => `Person ${n},${'x'.repeat(60)}${n}@example.com\n`;
  slow.request.write('name,email\n');
  const from = performance.now();
  for (let n = 0; performance.now() - from < 12_000; n++) {
    slow.request.write(Array.from({ length: 100 }, (_, m) => row(n * 100 + m)).join(''));
    await wait(100);
  }
  slow.request.end();
  t.equal(await slow.answered, 202, 'it kept coming');

  await t.rejects(stalled.answered, 'it held its place only');
  await until(async () => (await countRows(app, 'uploads')) === 1);

  t.equal(await elsewhere.answered, 408, 'on other routes the limit stands');
});

t.test('a file that is too large is told so while it comes, and leaves nothing', async (t) => {
  const app = await startApp(t, 'sqlite', { importMaxBytes: 300_000 });
  const { request, answered } = await beginUpload(app);
  request.write(people(10_000));
  t.equal(await answered, 413);
  request.destroy();
  await until(async () => (await countRows(app, 'uploads')) === 0);
  t.equal(await countRows(app, 'upload_blocks'), 0);
});

onEachDatabase(
  'a cancelled import says what was done, and can be run again from there',
  async (t, dialect) => {
    const app = await startApp(t, dialect);
    const headers = { 'content-type': 'text/csv' };
    const answer = await app.request('POST', '/users/import', { body: people(5000), headers });
    const { id } = answer.json<{ id: number }>();
    await until(async () => (await countRows(app, 'users')) > 0);
    const asked = performance.now();
    await app.request('POST', `/tasks/${id}/cancel`);
    const cancelled = await settled(app.app, id);
    t.ok(performance.now() - asked < 1000, 'within a second');
    t.equal(cancelled.state, 'cancelled');
    const { done = 0, counts } = cancelled.progress ?? {};
    t.ok(done > 0 && done < 5000, `${done}`);
    t.ok((await countRows(app, 'users')) >= (counts?.created ?? 0));
    await app.request('POST', `/tasks/${id}/retry`);
    t.match(await settled(app.app, id), { state: 'succeeded', result: { created: 4950, refused: 50 } });
    t.equal(await countRows(app, 'changes'), 4950);
    t.equal(await countRows(app, 'import_errors'), 50);
  },
);

type Work = (tx: Tx) => Promise<unknown>;

/** An import whose transactions are the test's: `save` runs what it is given, or has it undone. */
async function importByHand(
  { app }: TestApp,
  file: string,
  onConflict: OnConflict,
  save: (work: Work) => Promise<unknown>,
) {
  const chunks = Readable.from([Buffer.from(file)]);
  const { id } = await receiveUpload(app.write, 'ndjson', chunks, {
    mostBytes: 1e6,
    headerOf: async () => null,
  });
  await app.write((tx) => giveToTask(tx, id, 999));
  const context = {
    id: 999,
    attempt: 1,
    input: { format: 'ndjson', dryRun: false, onConflict },
    actor: null,
    checkpoint: undefined as unknown,
    signal: new AbortController().signal,
    log: app.log,
    tasks: app.tasks,
    progress() {},
    write: app.write,
    async save(work: Work) {
      context.checkpoint = await save(work);
    },
  };
  return { context, run: () => app.tasks.find('import').run(context) };
}

onEachDatabase('rows that were undone and then refused are not passed over', async (t, dialect) => {
  const app = await startApp(t, dialect);
  const { write } = app.app;
  const rows = [1, 2, 3].map((n) => `${JSON.stringify({ name: `N${n}`, email: `n${n}@example.com` })}\n`);
  let isFirst = true;
  const { context, run } = await importByHand(app, rows.join(''), 'fail', async (work) => {
    if (isFirst) {
      isFirst = false;
      // Another write of its transaction fails; before it runs again somebody has taken an email.
      await t.rejects(
        write(async (tx) => {
          tx.changed();
          await work(tx);
          throw new Error('undone');
        }),
      );
      await app.request('POST', '/users', { json: { name: 'Other', email: 'n1@example.com' } });
    }
    return write(work);
  });
  await t.rejects(run(), { code: 'email-taken', message: /^Line 1: / });
  t.match(context.checkpoint, { place: { offset: 0, line: 1 } });
  const [other] = (await app.request('GET', '/users')).json<{ id: number }[]>();
  await app.request('DELETE', `/users/${other?.id}`);
  t.match(await run(), { created: 3 });
});

t.test('a file is kept whose task may still be committed', async (t) => {
  const app = await startApp(t, 'postgresql');
  const chunks = Readable.from([Buffer.from('x')]);
  const headerOf = async () => null;
  const { id } = await receiveUpload(app.app.write, 'ndjson', chunks, { mostBytes: 9, headerOf });
  // The request was told that its commit failed, while PostgreSQL is still at it.
  const commit = app.app.orm.em.fork();
  await commit.begin();
  t.teardown(() => commit.rollback().catch(() => {}));
  await commit.execute('update uploads set task_id = 999 where id = ?', [id]);
  await removeUpload(app.app.write, id);
  await commit.commit();
  t.equal(await countRows(app, 'upload_blocks'), 1);
  t.equal(await countRows(app, 'uploads'), 1);
});

/** Imports 6000 people into a database of its own while the service is killed three times. */
async function importKilled(t: Test, dialect: DialectName) {
  const env = { DATABASE_URL: await emptyDatabase(t, dialect), LOG_LEVEL: 'info' };
  const first = await startService(t, env);
  const answer = await fetch(`${first.base}/users/import`, {
    method: 'POST',
    headers: { 'content-type': 'text/csv' },
    body: people(6000),
  });
  const { id } = (await answer.json()) as { id: number };
  const doneOf = async (base: string) => {
    const task = (await (await fetch(`${base}/tasks/${id}`)).json()) as Shown;
    return { state: task.state, done: task.progress?.done ?? 0, result: task.result, attempt: task.attempt };
  };
  let service = first;
  for (const part of [0.3, 0.6, 0.9]) {
    const { base } = service;
    await until(async () => {
      const users = (await (await fetch(`${base}/users?sort=-id&limit=1`)).json()) as { id: number }[];
      return (users[0]?.id ?? 0) > 6000 * part;
    });
    await service.end('SIGKILL');
    service = await startService(t, env);
  }
  const { base } = service;
  await until(async () => !['queued', 'running'].includes((await doneOf(base)).state));
  return { id, base, end: await doneOf(base) };
}

onEachDatabase('killed in the middle, each row is there once', async (t, dialect) => {
  let { id, base, end } = await importKilled(t, dialect);
  // It may have ended between two looks, before it was killed.
  for (let tries = 1; end.attempt === 1 && tries < 5; tries++)
    ({ id, base, end } = await importKilled(t, dialect));
  t.equal(end.state, 'succeeded');
  t.match(end.result, { created: 5940, updated: 0, unchanged: 0, skipped: 0, refused: 60 });
  t.ok(end.attempt > 1, `it took ${end.attempt} attempts`);
  const refused = await (await fetch(`${base}/tasks/${id}/errors`)).text();
  t.equal(refused.trim().split('\n').length, 61);
  let many = 0;
  for (let after = 0; ; ) {
    const page = (await (await fetch(`${base}/changes?after=${after}&limit=1000`)).json()) as {
      position: number;
    }[];
    many += page.length;
    after = page.at(-1)?.position ?? 0;
    if (page.length < 1000) break;
  }
  t.equal(many, 5940, 'each change once');
});

t.test('memory does not grow with the file', async (t) => {
  const app = await startApp(t, 'sqlite');
  setFlagsFromString('--expose-gc');
  const collect: () => void = runInNewContext('gc');
  const used = () => {
    collect();
    const { external, heapUsed } = process.memoryUsage();
    return external + heapUsed;
  };
  const before = used();
  let most = 0;
  const timer = setInterval(() => {
    most = Math.max(most, used());
  }, 50); // what Node holds outside of the heap is given back a while after its owner is collected
  const { request, answered } = await beginUpload(app, '/users/import?dryRun=true');
  const block = Array.from(
    { length: 1000 },
    (_, n) => `Person ${n},${n}@example.com,${'t'.repeat(900)}\n`,
  ).join('');
  request.write('name,email,team\n');
  for (let n = 0; n < 50; n++) if (!request.write(block)) await once(request, 'drain');
  request.end();
  t.equal(await answered, 202);
  clearInterval(timer);
  t.ok(
    most - before < 20_000_000,
    `a file of 50 MB took ${Math.round((most - before) / 1e6)} MB while it came`,
  );
  const task = await settled(app.app, 1);
  t.match(task.result, { created: 1000, skipped: 49_000 });
});

t.test('rows that are too long are refused without being held, and the next is read', async (t) => {
  const app = await startApp(t, 'sqlite');
  const long = `"${'a ""quoted"", long\n'.repeat(60_000)}"`;
  const file = `name,email,bio\nAda,ada@example.com,x\nLong,l@example.com,${long}\nBob,bob@example.com,y\n`;
  t.match((await importFile(app, file)).result, { created: 2, refused: 1 });
  t.match((await app.request('GET', '/tasks/1/errors')).text, /^3,"is longer than 262144 bytes/m);
  const json = `{"name":"${'x'.repeat(900_000)}"}\n{"name":"Eve","email":"eve@example.com"}\n`;
  const task = await importFile(app, json, { type: 'application/x-ndjson' });
  t.match(task.result, { created: 1, refused: 1 });
});

onEachDatabase('what is left of dead uploads, ended imports and old tasks is pruned', async (t, dialect) => {
  const app = await startApp(t, dialect);
  const file = people(200);
  await importFile(app, file, { query: 'onConflict=fail' });
  await importFile(app, `name,email\n${file.slice(17).replaceAll(/,[^,]*\r\n/g, '\n')}`, {
    query: 'onConflict=fail',
  });
  t.equal(await countRows(app, 'upload_blocks'), 1, 'that of the one that failed');
  const dead = await beginUpload(app);
  dead.request.write(people(20_000));
  await until(async () => (await countRows(app, 'upload_blocks')) > 2);
  const prune = async () => {
    const { id } = (await app.request('POST', '/tasks', { json: { kind: 'prune' } })).json<{ id: number }>();
    return settled(app.app, id);
  };
  await prune();
  t.ok((await countRows(app, 'upload_blocks')) > 2, 'what is young stays');
  const long = new Date(Date.now() - 40 * 86_400_000);
  await app.app.write(async (tx) => {
    tx.changed();
    await tx.execute('update uploads set touched_at = ?', [long]);
    await tx.execute(`update tasks set finished_at = ? where kind = 'import'`, [long]);
  });
  t.equal((await prune()).state, 'succeeded');
  for (const table of ['uploads', 'upload_blocks', 'import_errors'])
    t.equal(await countRows(app, table), 0, table);
  dead.request.destroy();
});

onEachDatabase('an erased user is in no file and no refused row', async (t, dialect) => {
  const app = await startApp(t, dialect);
  const person = {
    name: 'Zqjxkvw Wvkxjqz',
    email: 'Zqjxkvw@Example.com',
    attributes: { phone: '+44 2079 460 999' },
  };
  const { id } = (await app.request('POST', '/users', { json: person })).json<{ id: number }>();
  const file =
    'name,email,phone\n"Zqjxkvw Wvkxjqz",broken,+44 2079 460 999\nOther,nzqjxkvw@example.com,+44 2079 460 999\n' +
    'Zqjxkvw Wvkxjqz,zqjxkvw@example.com,+44 2079 460 999\nOther,third@example.com,Zqjxkvw\n';
  await importFile(app, file, { query: 'onConflict=fail' });
  t.equal(await countRows(app, 'upload_blocks'), 1);
  const task = (await app.request('POST', `/users/${id}/erase`)).json<{ id: number }>();
  t.equal((await settled(app.app, task.id)).state, 'succeeded');
  const [block] = await app.app.reader.read<{ bytes: Buffer }>('select bytes from upload_blocks', []);
  t.equal(
    String(block?.bytes).replaceAll(/x{5,}/g, 'X'),
    'name,email,phone\n"Zqjxkvw Wvkxjqz",broken,+44 2079 460 999\nOther,nzqjxkvw@example.com,+44 2079 460 999\n' +
      'X,X,X\nOther,third@example.com,Zqjxkvw\n',
  );
  t.match((await app.request('GET', '/tasks/1/errors')).text, /,"x{15}",broken,x{16}\r\n$/);
  await app.request('POST', '/tasks/1/retry');
  t.match(await settled(app.app, 1), { result: { created: 2, refused: 2 } });
});

onEachDatabase(
  'an import that had read all when it was killed is not told that its file is gone',
  async (t, dialect) => {
    const body = '{"name":"Ada","email":"ada@example.com"}\n\n\n';
    const files = [
      { body, type: NDJSON.type, query: '' },
      { body, type: NDJSON.type, query: '?dryRun=true' },
      { body: 'name,email\nAda,ada@example.com\n\n\n', type: 'text/csv', query: '' },
    ];
    const rounds = files.map(async ({ body, type, query }) => {
      const env = { DATABASE_URL: await emptyDatabase(t, dialect), LOG_LEVEL: 'info' };
      const doomed = await startTaskService(t, { ...env, KILL_AT: 'finished' });
      const headers = { 'content-type': type };
      // The answer may be lost with the process.
      await fetch(`${doomed.base}/users/import${query}`, { method: 'POST', headers, body }).catch(() => {});
      t.equal(await doomed.ended, 'SIGKILL');
      const service = await startTaskService(t, env);
      t.match(await endedTask(service, 1), {
        state: 'succeeded',
        attempt: 2,
        result: { created: 1, skipped: 0 },
      });
    });
    await Promise.all(rounds);
  },
);
