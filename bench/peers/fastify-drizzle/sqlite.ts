import Database from 'better-sqlite3';
import { and, asc, eq, getTableColumns, gt, sql } from 'drizzle-orm';
import { drizzle } from 'drizzle-orm/better-sqlite3';
import { keysOf, mergePatch, type Store } from '../api.ts';
import { environment, requireDurable, SQLITE_PRAGMAS } from '../environment.ts';
import { users } from './sqlite-tables.ts';

const { nameKey: _nameKey, emailKey: _emailKey, searchKey: _searchKey, ...columns } = getTableColumns(users);

export function openStore(): Store {
  const client = new Database(environment.sqlitePath);
  for (const pragma of SQLITE_PRAGMAS) client.pragma(pragma);
  requireDurable(
    client.pragma('journal_mode', { simple: true }),
    client.pragma('synchronous', { simple: true }),
  );
  const db = drizzle({ client });
  const { placeholder } = sql;

  const find = db
    .select(columns)
    .from(users)
    .where(eq(users.id, placeholder('id')))
    .prepare();
  const list = db
    .select(columns)
    .from(users)
    .where(gt(users.id, placeholder('after')))
    .orderBy(asc(users.id))
    .limit(placeholder('limit'))
    .prepare();
  const insert = db
    .insert(users)
    .values({
      name: placeholder('name'),
      nameKey: placeholder('nameKey'),
      email: placeholder('email'),
      emailKey: placeholder('emailKey'),
      searchKey: placeholder('searchKey'),
      attributes: placeholder('attributes'),
      version: 1,
      createdAt: placeholder('now'),
      updatedAt: placeholder('now'),
    })
    .returning(columns)
    .prepare();
  const update = db
    .update(users)
    .set({
      attributes: sql`${placeholder('attributes')}`,
      version: sql`${users.version} + 1`,
      updatedAt: sql`${placeholder('now')}`,
    })
    .where(and(eq(users.id, placeholder('id')), eq(users.version, placeholder('version'))))
    .returning(columns)
    .prepare();

  return {
    find: (id) => find.get({ id }),
    list: (limit, after) => list.all({ limit, after }),
    create({ name, email, attributes = {} }) {
      const keys = keysOf(name, email);
      try {
        return insert.get({ name, email, ...keys, attributes, now: new Date() });
      } catch (error) {
        if (isTaken(error)) return undefined;
        throw error;
      }
    },
    patch(id, attributes) {
      const user = find.get({ id });
      if (user === undefined) return undefined;
      const merged = JSON.stringify(mergePatch(user.attributes, attributes));
      return update.get({ id, version: user.version, attributes: merged, now: Date.now() });
    },
  };
}

function isTaken(error: unknown): boolean {
  const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
  return cause instanceof Database.SqliteError && cause.code === 'SQLITE_CONSTRAINT_UNIQUE';
}
