import { and, asc, eq, getTableColumns, gt, sql } from 'drizzle-orm';
import { drizzle } from 'drizzle-orm/node-postgres';
import pg from 'pg';
import { keysOf, mergePatch, type Store } from '../api.ts';
import { environment } from '../environment.ts';
import { users } from './postgresql-tables.ts';

const { nameKey: _nameKey, emailKey: _emailKey, searchKey: _searchKey, ...columns } = getTableColumns(users);

const UNIQUE_VIOLATION = '23505';

export function openStore(): Store {
  const db = drizzle({ client: new pg.Pool({ connectionString: environment.databaseUrl }) });
  const { placeholder } = sql;

  const find = db
    .select(columns)
    .from(users)
    .where(eq(users.id, placeholder('id')))
    .prepare('find');
  const list = db
    .select(columns)
    .from(users)
    .where(gt(users.id, placeholder('after')))
    .orderBy(asc(users.id))
    .limit(placeholder('limit'))
    .prepare('list');
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
    .prepare('insert');
  const update = db
    .update(users)
    .set({
      attributes: sql`${placeholder('attributes')}`,
      version: sql`${users.version} + 1`,
      updatedAt: sql`${placeholder('now')}`,
    })
    .where(and(eq(users.id, placeholder('id')), eq(users.version, placeholder('version'))))
    .returning(columns)
    .prepare('update');

  return {
    find: async (id) => (await find.execute({ id }))[0],
    list: (limit, after) => list.execute({ limit, after }),
    async create({ name, email, attributes = {} }) {
      const keys = keysOf(name, email);
      try {
        return (await insert.execute({ name, email, ...keys, attributes, now: new Date() }))[0];
      } catch (error) {
        if (isTaken(error)) return undefined;
        throw error;
      }
    },
    /** The version decides who was first, as in the hand-written peer. */
    async patch(id, attributes) {
      for (;;) {
        const user = (await find.execute({ id }))[0];
        if (user === undefined) return undefined;
        const merged = JSON.stringify(mergePatch(user.attributes, attributes));
        const now = new Date().toISOString();
        const updated = (await update.execute({ id, version: user.version, attributes: merged, now }))[0];
        if (updated !== undefined) return updated;
      }
    },
  };
}

function isTaken(error: unknown): boolean {
  const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
  return cause instanceof pg.DatabaseError && cause.code === UNIQUE_VIOLATION;
}
