import Database from 'better-sqlite3';
import { drizzle as drizzleSqlite } from 'drizzle-orm/better-sqlite3';
import { drizzle as drizzlePostgresql } from 'drizzle-orm/node-postgres';
import pg from 'pg';
import { environment, requireDurable, SQLITE_PRAGMAS } from '../../peers/environment.ts';
import * as onPostgresql from '../../peers/fastify-drizzle/postgresql-tables.ts';
import * as onSqlite from '../../peers/fastify-drizzle/sqlite-tables.ts';
import { changesOf } from './change.ts';
import type { InsertUsers } from './turn.ts';

/** `db.insert().values([…])`. */
export async function open(): Promise<InsertUsers> {
  return environment.dialect === 'sqlite' ? openSqlite() : openPostgresql();
}

function openSqlite(): InsertUsers {
  const { users, changes } = onSqlite;
  const client = new Database(environment.sqlitePath);
  for (const pragma of SQLITE_PRAGMAS) client.pragma(pragma);
  requireDurable(
    client.pragma('journal_mode', { simple: true }),
    client.pragma('synchronous', { simple: true }),
  );
  const db = drizzleSqlite({ client });
  return async (people) =>
    db.transaction((tx) => {
      const made = tx
        .insert(users)
        .values([...people])
        .returning({ id: users.id })
        .all();
      const ids = made.map(({ id }) => id);
      tx.insert(changes).values(changesOf(people, ids)).run();
    });
}

function openPostgresql(): InsertUsers {
  const { users, changes } = onPostgresql;
  const db = drizzlePostgresql({ client: new pg.Pool({ connectionString: environment.databaseUrl }) });
  return (people) =>
    db.transaction(async (tx) => {
      const made = await tx
        .insert(users)
        .values([...people])
        .returning({ id: users.id });
      const ids = made.map(({ id }) => id);
      await tx.insert(changes).values(changesOf(people, ids));
    });
}
