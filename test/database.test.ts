import {
  copyFile,
  link,
  mkdir,
  open,
  readdir,
  readFile,
  rm,
  symlink,
  truncate,
  writeFile,
} from 'node:fs/promises';
import { join } from 'node:path';
import { DatabaseSchema } from '@mikro-orm/sql';
import Database from 'better-sqlite3';
import pg from 'pg';
import t from 'tap';
import { openDatabase, openMigratedDatabase } from '../src/db/database.ts';
import { databaseFailure } from '../src/db/failures.ts';
import { migrateDown, migrateUp, migrationsFolder } from '../src/db/migrations.ts';
import { sqlitePath } from '../src/db/url.ts';
import { entities } from '../src/entities.ts';
import { startApp } from './support/app.ts';
import { emptyDatabase, onEachDatabase, postgresServer } from './support/databases.ts';
import { fetch } from './support/fetch.ts';
import { temporaryFolder } from './support/owner.ts';
import { freePort } from './support/postgres.ts';
import { failService, startService } from './support/service.ts';

onEachDatabase(
  'the migrations make exactly what the entities say, up, down and up again',
  async (t, dialect) => {
    const databaseUrl = await emptyDatabase(t, dialect);
    const { orm, close } = await openDatabase({ databaseUrl, entities });
    t.teardown(close);
    const applied = await migrateUp(orm, dialect);
    t.ok(applied.length > 0);
    t.strictSame(await migrateUp(orm, dialect), [], 'a second time there is nothing to do');
    t.equal((await orm.schema.getUpdateSchemaSQL()).trim(), '', 'no difference from the entities');
    for (const name of applied.toReversed()) t.equal(await migrateDown(orm, dialect), name);
    t.equal(await migrateDown(orm, dialect), undefined);
    t.strictSame(await migrateUp(orm, dialect), applied);
    t.equal((await orm.schema.getUpdateSchemaSQL()).trim(), '');
  },
);

t.test('both databases have migrations of the same names', async (t) => {
  t.strictSame(await readdir(migrationsFolder('sqlite')), await readdir(migrationsFolder('postgresql')));
});

t.test('both databases have the same tables, columns, nullability and indexes', async (t) => {
  const shapes = [];
  for (const dialect of ['sqlite', 'postgresql'] as const) {
    const { orm, close } = await openMigratedDatabase({
      databaseUrl: await emptyDatabase(t, dialect),
      entities,
    });
    const { skipTables } = orm.config.get('schemaGenerator');
    const connection = orm.em.getConnection();
    const platform = orm.em.getPlatform();
    const all = [undefined, undefined, undefined] as const;
    const schema = await DatabaseSchema.create(connection, platform, orm.config, ...all, skipTables);
    shapes.push(
      schema
        .getTables()
        .map((table) => ({
          name: table.name,
          columns: table
            .getColumns()
            .map((column) => `${column.name} ${column.nullable ? 'null' : 'not null'}`)
            .sort(),
          indexes: table
            .getIndexes()
            .filter((index) => !index.primary && index.keyName !== 'users_search')
            .map((index) => `${index.keyName} ${index.unique} ${index.columnNames}`)
            .sort(),
        }))
        .sort((a, b) => (a.name < b.name ? -1 : 1)),
    );
    await close();
  }
  t.ok((shapes[0]?.length ?? 0) >= 3);
  t.strictSame(shapes[0], shapes[1]);
});

t.test('of many replicas that start at once exactly one migrates', async (t) => {
  const databaseUrl = await emptyDatabase(t, 'postgresql');
  const replicas = await Promise.all(
    Array.from({ length: 6 }, () => openMigratedDatabase({ databaseUrl, entities })),
  );
  const [first] = replicas;
  const rows = await first?.orm.em.fork().execute('select name from migrations');
  t.equal(rows?.length, (await readdir(migrationsFolder('postgresql'))).length, 'each migration once');
  await Promise.all(replicas.map((replica) => replica.close()));
});

onEachDatabase('a database that a newer Muster has migrated is left alone', async (t, dialect) => {
  const databaseUrl = await emptyDatabase(t, dialect);
  const { orm, close } = await openMigratedDatabase({ databaseUrl, entities });
  await orm.em
    .fork()
    .execute(`insert into migrations (name, executed_at) values ('9999_future', '2030-01-01')`);
  await close();
  await t.rejects(openMigratedDatabase({ databaseUrl, entities }), {
    message: /newer Muster \(9999_future\)/,
  });
});

t.test('SQLite keeps what it acknowledges: WAL, synchronous=FULL, and the rest', async (t) => {
  const databaseUrl = await emptyDatabase(t, 'sqlite');
  const { orm, close } = await openMigratedDatabase({ databaseUrl, entities });
  t.teardown(close);
  const pragma = async (name: string) => Object.values((await orm.em.execute(`pragma ${name}`))[0] ?? {})[0];
  t.equal(await pragma('journal_mode'), 'wal');
  t.equal(await pragma('synchronous'), 2);
  t.equal(await pragma('foreign_keys'), 1, 'on again after the migrations');
  t.equal(await pragma('busy_timeout'), 100);
  t.equal(await pragma('secure_delete'), 1);
  t.equal(await pragma('trusted_schema'), 0);
});

t.test('a second process on the same file does not start, and says why', async (t) => {
  const databaseUrl = await emptyDatabase(t, 'sqlite');
  const first = await startService(t, { DATABASE_URL: databaseUrl });
  const second = await failService(t, { DATABASE_URL: databaseUrl });
  t.equal(second.code, 1);
  t.match(
    second.output,
    /^Muster does not start: .*muster\.db is in use by another process: only one may serve it\n$/,
  );
  t.equal((await fetch(`${first.base}/users`)).status, 200, 'the first goes on');
  await first.end('SIGKILL');
  await startService(t, { DATABASE_URL: databaseUrl });
  t.pass('and after a kill -9 of it another may start');
});

t.test('a lost, emptied, broken or exchanged file is not taken for an empty directory', async (t) => {
  const databaseUrl = await emptyDatabase(t, 'sqlite');
  const otherUrl = await emptyDatabase(t, 'sqlite');
  const path = sqlitePath(databaseUrl);
  for (const url of [databaseUrl, otherUrl])
    await (await openMigratedDatabase({ databaseUrl: url, entities })).close();
  const opening = () => openMigratedDatabase({ databaseUrl, entities });
  await (await opening()).close();

  const other = new Database(sqlitePath(otherUrl));
  await rm(path);
  await other.backup(path);
  other.close();
  await t.rejects(opening(), { message: /holds directory .+, but .+ lived there/ }, 'exchanged');
  await rm(path);
  await t.rejects(opening(), { message: /is missing or empty, but directory .+ lived there/ }, 'lost');
  await writeFile(path, '');
  await t.rejects(opening(), { message: /is missing or empty/ }, 'emptied');
  await writeFile(path, 'This is not a database at all. '.repeat(200));
  await t.rejects(opening(), { message: /cannot be opened: file is not a database/ }, 'broken');
  await truncate(path, 0);
  await rm(`${path}-guard`);
  await (await opening()).close();
  t.pass('begun anew on purpose');
});

t.test('a database that is not to be used stays as it is, byte by byte', async (t) => {
  const path = sqlitePath(await emptyDatabase(t, 'sqlite'));
  const songs = new Database(path);
  songs.exec('create table users (title text); create table songs (title text)');
  songs.close();
  const other = sqlitePath(await emptyDatabase(t, 'sqlite'));
  await (await openMigratedDatabase({ databaseUrl: `sqlite:${other}`, entities })).close();
  const opening = () => openMigratedDatabase({ databaseUrl: `sqlite:${path}`, entities });

  const foreign = await readFile(path);
  await t.rejects(opening(), { message: /is the database of another program: it is left as it is/ });
  await copyFile(`${other}-guard`, `${path}-guard`);
  await t.rejects(opening(), { message: /another program/ });
  t.ok(foreign.equals(await readFile(path)), 'another program’s');

  const old = new Database(other);
  old.exec(`update instance set id = 'another'; delete from migrations where name <> '0001_users'`);
  old.pragma('journal_mode = delete');
  old.close();
  await copyFile(other, path);
  await t.rejects(opening(), { message: /holds directory another, but .+ lived there/ });
  t.ok((await readFile(other)).equals(await readFile(path)), 'another directory’s, and older');
});

t.test('a start that meets a damaged page ends with one line, and no statement in it', async (t) => {
  const databaseUrl = await emptyDatabase(t, 'sqlite');
  const path = sqlitePath(databaseUrl);
  await (await openMigratedDatabase({ databaseUrl, entities })).close();
  const database = new Database(path);
  const page = database.prepare(`select rootpage from sqlite_schema where name = 'change_log'`).pluck().get();
  database.close();
  const file = await open(path, 'r+');
  await file.write(Buffer.alloc(4096, 0xaa), 0, 4096, (Number(page) - 1) * 4096);
  await file.close();
  const { code, output } = await failService(t, { DATABASE_URL: databaseUrl });
  t.equal(code, 1);
  t.match(output, /^Muster does not start: the database .+: database disk image is malformed\n$/);
  for (const time of ['once', 'and again: it has let go of the file'])
    await t.rejects(startApp(t, 'sqlite', { databaseUrl }), { message: /image is malformed/ }, time);
});

t.test('a PostgreSQL that is away stops the start with one line, and no password in it', async (t) => {
  const port = await freePort();
  const { code, output } = await failService(t, {
    DATABASE_URL: `postgresql://muster:hush@127.0.0.1:${port}/muster`,
  });
  t.equal(code, 1);
  t.match(
    output,
    /^Muster does not start: the database "?postgresql:\/\/127\.0\.0\.1:\d+\/muster cannot be opened: .*ECONNREFUSED.*\n$/,
  );
  t.notMatch(output, /hush/);
});

t.test('a folder is no database, and the start says so', async (t) => {
  const folder = await temporaryFolder(t);
  await mkdir(join(folder, 'data'));
  await t.rejects(openMigratedDatabase({ databaseUrl: `sqlite:${join(folder, 'data')}`, entities }), {
    message: /data cannot be used: it is a folder$/,
  });
  t.strictSame(await readdir(folder), ['data'], 'nothing is made beside it');
});

t.test('a database that does not exist is not made by a wrong name', async (t) => {
  const url = (await postgresServer()).url('no_such_database');
  await t.rejects(openMigratedDatabase({ databaseUrl: url, entities }), {
    message: /no_such_database cannot be opened: .*does not exist/,
  });
});

t.test(
  'what the URL asks of the connection is done, and the server’s own settings do not change times',
  async (t) => {
    const databaseUrl = await emptyDatabase(t, 'postgresql');
    await t.rejects(openMigratedDatabase({ databaseUrl: `${databaseUrl}?sslmode=verify-full`, entities }), {
      message: /does not support SSL/,
    });
    const name = new URL(databaseUrl).pathname.slice(1);
    await (await postgresServer()).query(`alter database ${name} set datestyle = 'German, DMY'`);
    const { request } = await startApp(t, 'postgresql', { databaseUrl });
    const created = await request('POST', '/users', { json: { name: 'Ada', email: 'ada@example.com' } });
    t.strictSame((await request('GET', '/users/1')).json(), created.json());
  },
);

t.test('a PostgreSQL database that cannot hold every character is refused', async (t) => {
  const server = await postgresServer();
  for (const encoding of ['LATIN1', 'SQL_ASCII']) {
    const name = `in_${encoding.toLowerCase()}`;
    await server.query(`create database ${name} template template0 encoding '${encoding}' locale 'C'`);
    const opening = openMigratedDatabase({ databaseUrl: server.url(name), entities });
    await t.rejects(opening, { message: new RegExp(`${name} is in ${encoding}, .* encoding 'UTF8' .*$`) });
  }
});

t.test('a symbolic link is the same directory', async (t) => {
  const databaseUrl = await emptyDatabase(t, 'sqlite');
  const { close } = await openMigratedDatabase({ databaseUrl, entities });
  t.teardown(close);
  const other = join(await temporaryFolder(t), 'link.db');
  await symlink(sqlitePath(databaseUrl), other);
  await t.rejects(openMigratedDatabase({ databaseUrl: `sqlite:${other}`, entities }), {
    message: /in use by another/,
  });
});

t.test('a file with a second name is not served: the other could be at the same time', async (t) => {
  const databaseUrl = await emptyDatabase(t, 'sqlite');
  await (await openMigratedDatabase({ databaseUrl, entities })).close();
  const folder = await temporaryFolder(t);
  const other = join(folder, 'other.db');
  await link(sqlitePath(databaseUrl), other);
  for (const url of [databaseUrl, `sqlite:${other}`]) {
    await t.rejects(openMigratedDatabase({ databaseUrl: url, entities }), {
      message: /\.db has another name \(a hard link\)/,
    });
  }
  t.strictSame(await readdir(folder), ['other.db'], 'nothing is made beside it');
  await rm(other);
  await (await openMigratedDatabase({ databaseUrl, entities })).close();
});

t.test('a full disk refuses writes, and everything goes on when there is space again', async (t) => {
  const { app, request } = await startApp(t, 'sqlite');
  const em = app.orm.em.fork();
  const [{ page_count: pages } = { page_count: 0 }] =
    await em.execute<{ page_count: number }[]>('pragma page_count');
  await em.execute(`pragma max_page_count = ${pages}`);
  const post = (at: number) =>
    request('POST', '/users', {
      json: { name: 'Ada', email: `a${at}@example.com`, attributes: { x: 'x'.repeat(16_000) } },
    });
  const refused = await Promise.all([post(1), post(2), post(3)]);
  t.ok(
    refused.some((answer) => answer.status === 503),
    'the disk is full',
  );
  const kept = refused.filter((answer) => answer.status === 201).length;
  t.equal((await request('GET', '/users')).json<unknown[]>().length, kept, 'reads go on');
  await em.execute('pragma max_page_count = 1000000');
  t.equal((await post(4)).status, 201);
});

t.test('killed backends cost no connection for good', async (t) => {
  const { request } = await startApp(t, 'postgresql', { databasePoolMax: 2 });
  const post = (at: number) =>
    request('POST', '/users', { json: { name: 'Ada', email: `a${at}@example.com` } });
  t.equal((await post(0)).status, 201);
  const server = await postgresServer();
  for (let round = 1; round <= 6; round++) {
    const writes = [post(round * 10), post(round * 10 + 1)];
    await server.query(
      `select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'muster'`,
    );
    for (const answer of await Promise.all(writes))
      t.ok([201, 503].includes(answer.status), String(answer.status));
  }
  let last = 0;
  for (let round = 0; round < 4 && last !== 201; round++) last = (await post(100 + round)).status;
  t.equal(last, 201, 'the pool has not run dry');
});

t.test('a statement on a connection that has just been lost says that the database is away', async (t) => {
  const server = await postgresServer();
  const client = new pg.Client({ connectionString: server.url('postgres') });
  const lost = new Promise((resolve) => client.on('error', resolve));
  await client.connect();
  const { rows } = await client.query('select pg_backend_pid() as pid');
  await server.query(`select pg_terminate_backend(${rows[0].pid})`);
  await lost;
  const error = await client.query('select 1').catch((error) => error);
  t.match(error, /not queryable/);
  t.equal(databaseFailure(error), 'away');
});
