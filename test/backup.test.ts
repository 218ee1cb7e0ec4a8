import { copyFile, open, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import Database from 'better-sqlite3';
import t from 'tap';
import { backupTo } from '../src/db/backup.ts';
import { startApp } from './support/app.ts';
import { runCommand } from './support/command.ts';
import { emptyDatabase, onEachDatabase } from './support/databases.ts';
import { fetch } from './support/fetch.ts';
import { Follower } from './support/follow.ts';
import { temporaryFolder } from './support/owner.ts';
import { startService } from './support/service.ts';

const create = (base: string, email: string) =>
  fetch(`${base}/users`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ name: 'n', email }),
  });

t.test('a backup of a service that writes holds a moment of it, and can be served', async (t) => {
  const databaseUrl = await emptyDatabase(t, 'sqlite');
  const service = await startService(t, { DATABASE_URL: databaseUrl, LOG_LEVEL: 'info' });
  const acknowledged: number[] = [];
  let over = false;
  const writer = (async () => {
    for (let n = 0; !over; n++) {
      await create(service.base, `u${n}@example.com`);
      acknowledged.push(n);
    }
  })();
  while (acknowledged.length < 200) await new Promise((resolve) => setImmediate(resolve));
  const before = acknowledged.length;
  const folder = await temporaryFolder(t);
  const file = join(folder, 'backup.db');
  const { code, stderr } = await runCommand(t, ['backup', file], { env: { DATABASE_URL: databaseUrl } });
  t.equal(code, 0, stderr);
  over = true;
  await writer;
  t.strictSame(await readdir(folder), ['backup.db'], 'nothing else is left');
  t.equal((await stat(file)).mode & 0o777, 0o600, 'and only its user reads it');
  const copy = new Database(file, { readonly: true });
  const { users, changes } = copy
    .prepare('select (select count(*) from users) as users, (select count(*) from changes) as changes')
    .get() as { users: number; changes: number };
  copy.close();
  t.ok(users >= before && users <= acknowledged.length, `${before} <= ${users} <= ${acknowledged.length}`);
  t.equal(users, changes, 'table and log are of one moment');
  const again = await startService(t, { DATABASE_URL: `sqlite:${file}` });
  const last = await fetch(`${again.base}/users?q=u${users - 1}@`);
  t.match(await last.json(), [{ name: 'n' }]);
});

t.test('a check finds a damaged index, which no look-up has met, while the service runs', async (t) => {
  const databaseUrl = await emptyDatabase(t, 'sqlite');
  const path = databaseUrl.replace('sqlite:', '');
  const first = await startService(t, { DATABASE_URL: databaseUrl });
  await create(first.base, 'ada@example.com');
  const check = () => runCommand(t, ['check'], { env: { DATABASE_URL: databaseUrl } });
  t.match(await check(), { code: 0, stderr: /nothing is damaged/ });
  await first.end('SIGTERM');
  const database = new Database(path);
  const page = database
    .prepare(`select rootpage from sqlite_schema where name = 'changes_user_id_version'`)
    .pluck()
    .get();
  database.close();
  const file = await open(path, 'r+');
  await file.write(Buffer.alloc(4000, 0), 0, 4000, (Number(page) - 1) * 4096 + 96);
  await file.close();
  await startService(t, { DATABASE_URL: databaseUrl });
  t.match(await check(), { code: 2, stderr: /muster\.db is damaged: .*index changes_user_id_version/ });
});

t.test('a check of a database that is not there says so', async (t) => {
  const databaseUrl = await emptyDatabase(t, 'sqlite');
  const check = () => runCommand(t, ['check'], { env: { DATABASE_URL: databaseUrl } });
  t.match(await check(), { code: 2, stderr: /^there is no database at .*muster\.db\n$/ });
  await writeFile(databaseUrl.replace('sqlite:', ''), '');
  t.match(
    await check(),
    { code: 2, stderr: /^there is no database at .*muster\.db\n$/ },
    'nor in an empty file',
  );
});

t.test('a backup overwrites nothing, and leaves nothing behind when it fails', async (t) => {
  const databaseUrl = await emptyDatabase(t, 'sqlite');
  await startApp(t, 'sqlite', { databaseUrl });
  const folder = await temporaryFolder(t);
  const file = join(folder, 'precious');
  await writeFile(file, 'precious');
  await t.rejects(backupTo(databaseUrl, file), { message: /is there already/ });
  t.equal(await readFile(file, 'utf8'), 'precious');
  await t.rejects(backupTo(databaseUrl, join(folder, 'no', 'such')), { message: /cannot be made: ENOENT/ });
  await t.rejects(backupTo(`sqlite:${join(folder, 'precious')}`, join(folder, 'copy')), {
    message: /cannot be copied/,
  });
  await t.rejects(backupTo(`sqlite:${join(folder, 'nothing')}`, join(folder, 'copy')), {
    message: /cannot be copied/,
  });
  await t.rejects(backupTo('postgresql://u:hush@db/muster', join(folder, 'copy')), {
    message: /^((?!hush).)*pg_dump((?!hush).)*$/,
  });
  t.strictSame(await readdir(folder), ['precious']);
});

t.test('whoever follows notices that the file was restored, each time anew', async (t) => {
  const databaseUrl = await emptyDatabase(t, 'sqlite');
  const path = databaseUrl.slice('sqlite:'.length);
  const start = () => startService(t, { DATABASE_URL: databaseUrl });
  let service = await start();
  await create(service.base, 'kept@example.com');
  const listed = await fetch(`${service.base}/users`);
  const epochs = [listed.headers.get('muster-epoch') ?? ''];
  t.match(epochs[0], /^[0-9a-f]{16}$/);
  const copy = join(dirname(path), 'copy');
  await backupTo(databaseUrl, copy);
  t.equal(
    (await fetch(`${service.base}/users`)).headers.get('muster-epoch'),
    epochs[0],
    'a copy changes nothing',
  );
  await create(service.base, 'lost@example.com');
  for (const round of [1, 2]) {
    await service.end('SIGTERM');
    for (const end of ['-wal', '-shm']) await rm(`${path}${end}`, { force: true });
    await copyFile(copy, path);
    service = await start();
    await create(service.base, 'other@example.com');
    const old = epochs.at(-1);
    const gone = await fetch(`${service.base}/changes?after=2&epoch=${old}`);
    t.equal(gone.status, 410, `restored ${round}`);
    t.match(await gone.json(), { type: 'urn:problem-type:muster:epoch-gone' });
    const stream = new Follower(service.base, `/changes?epoch=${old}`, { 'last-event-id': '2' });
    t.equal((await stream.answered).statusCode, 410, 'and so is a stream that comes again');
    const next = (await fetch(`${service.base}/changes?after=1`)).headers.get('muster-epoch') ?? '';
    t.notOk(epochs.includes(next), next);
    epochs.push(next);
    t.equal((await fetch(`${service.base}/changes?after=2&epoch=${next}`)).status, 200);
  }
});

onEachDatabase('a restart keeps the epoch, and `restored` begins another one', async (t, dialect) => {
  const databaseUrl = await emptyDatabase(t, dialect);
  const epoch = async () => {
    const { app, request } = await startApp(t, dialect, { databaseUrl });
    const { headers } = await request('GET', '/changes');
    t.equal((await request('GET', '/users')).headers['muster-epoch'], headers['muster-epoch']);
    await app.close();
    return headers['muster-epoch'];
  };
  const first = await epoch();
  t.match(first, /^[0-9a-f]{16}$/);
  t.equal(await epoch(), first);
  const { code, stderr } = await runCommand(t, ['restored'], { env: { DATABASE_URL: databaseUrl } });
  t.equal(code, 0, stderr);
  t.match(await epoch(), /^[0-9a-f]{16}$/);
  t.not(await epoch(), first);
});

t.test('replicas that start at once on a restored database agree on the epoch', async (t) => {
  const databaseUrl = await emptyDatabase(t, 'postgresql');
  const apps = await Promise.all([1, 2, 3].map(() => startApp(t, 'postgresql', { databaseUrl })));
  const answers = await Promise.all(apps.map(({ request }) => request('GET', '/changes')));
  t.equal(new Set(answers.map(({ headers }) => headers['muster-epoch'])).size, 1);
});
