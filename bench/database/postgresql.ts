import pg from 'pg';
import { type PostgresServer, startPostgres } from '../../test/support/postgres.ts';
import { migrate, seedUser, type Template } from './seed.ts';

/**
 * A PostgreSQL whose commits are on the disk before they are confirmed. Memory and log are large enough for a million
 * users, so that no checkpoint falls into some windows and not into others.
 */
const SETTINGS = [
  'fsync=on',
  'synchronous_commit=on',
  'full_page_writes=on',
  'shared_buffers=1GB',
  'max_wal_size=8GB',
  'checkpoint_timeout=1h',
];

export function startDurablePostgres(): Promise<PostgresServer> {
  return startPostgres({ settings: SETTINGS });
}

export async function postgresTemplate(server: PostgresServer, users: number): Promise<Template> {
  const template = `users_${users}`;
  await server.query(`create database ${template}`);
  await migrate(server.url(template));
  await fill(server.url(template), users);
  await requireDurable(server);
  return {
    async copy(name: string) {
      const database = `bench_${name.replaceAll('-', '_')}`;
      await server.query(`create database ${database} template ${template} strategy file_copy`);
      await server.query('checkpoint');
      const remove = async () => void (await server.query(`drop database ${database} with (force)`));
      return { url: server.url(database), remove };
    },
    remove: async () => void (await server.query(`drop database ${template}`)),
  };
}

const CHUNK = 10_000;

async function fill(url: string, users: number): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    for (let from = 1; from <= users; from += CHUNK) {
      const rows = Array.from({ length: Math.min(CHUNK, users - from + 1) }, (_, at) => seedUser(from + at));
      const names = rows.map(({ name }) => name);
      const emails = rows.map(({ email }) => email);
      await client.query(
        `insert into users (name, name_key, email, email_key, search_key, attributes, version, created_at, updated_at)
         select name, name_key, email, email_key, name_key || chr(10) || email_key, attributes::json, 1, created_at, created_at
         from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::timestamptz[])
           as seed (name, name_key, email, email_key, attributes, created_at)`,
        [
          names,
          names.map((name) => name.toLowerCase()),
          emails,
          emails.map((email) => email.toLowerCase()),
          rows.map(({ attributes }) => attributes),
          rows.map(({ createdAt }) => new Date(createdAt)),
        ],
      );
    }
    await client.query('vacuum analyze users');
  } finally {
    await client.end();
  }
}

export async function requireDurable(server: PostgresServer): Promise<void> {
  for (const setting of ['fsync', 'synchronous_commit', 'full_page_writes']) {
    const [row] = await server.query<{ value: string }>(`select current_setting('${setting}') as value`);
    if (row?.value !== 'on') throw new Error(`PostgreSQL runs with ${setting}=${row?.value}`);
  }
}
