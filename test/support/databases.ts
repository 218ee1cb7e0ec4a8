import { join } from 'node:path';
import t, { type Test } from 'tap';
import { openMigratedDatabase } from '../../src/db/database.ts';
import type { DialectName } from '../../src/db/url.ts';
import { entities } from '../../src/entities.ts';
import { temporaryFolder } from './owner.ts';
import { type PostgresServer, startPostgres } from './postgres.ts';

const TEMPLATE = 'muster_template';
let postgres: Promise<PostgresServer> | undefined;
let created = 0;

/** The PostgreSQL of this test file, started when it is first asked for and stopped when the file has ended. */
export function postgresServer(): Promise<PostgresServer> {
  postgres ??= startPostgres().then(async (server) => {
    t.teardown(() => server.stop());
    await server.query(`create database ${TEMPLATE}`);
    const template = await openMigratedDatabase({ databaseUrl: server.url(TEMPLATE), entities });
    await template.close();
    return server;
  });
  return postgres;
}

/** The URL of a fresh, migrated database: in memory on SQLite. */
export async function freshDatabase(dialect: DialectName): Promise<string> {
  if (dialect === 'sqlite') return 'sqlite::memory:';
  return createPostgresDatabase(`template ${TEMPLATE}`);
}

/** The URL of a fresh database that outlives its connections, and on which nothing has run yet. */
export async function emptyDatabase(test: Test, dialect: DialectName): Promise<string> {
  if (dialect === 'postgresql') return createPostgresDatabase();
  return `sqlite:${join(await temporaryFolder(test), 'muster.db')}`;
}

async function createPostgresDatabase(options = ''): Promise<string> {
  const server = await postgresServer();
  const name = `test_${++created}`;
  await server.query(`create database ${name} ${options}`);
  return server.url(name);
}

/** Runs a test once on each database, each time with the name of the database in front of its own. */
export function onEachDatabase(
  name: string,
  body: (test: Test, dialect: DialectName) => Promise<void>,
): void {
  for (const dialect of ['sqlite', 'postgresql'] as const) {
    t.test(`${dialect}: ${name}`, (test) => body(test, dialect));
  }
}
