import { type EntityManager, SqlitePlatform } from '@mikro-orm/sql';
import type { SqliteConnection } from '@mikro-orm/sqlite';
import type { Database, Statement } from 'better-sqlite3';
import { CompiledQuery } from 'kysely';
import type { DialectName } from './url.ts';

export function isSqlite(em: EntityManager): boolean {
  return em.getPlatform() instanceof SqlitePlatform;
}

export function dialectOf(em: EntityManager): DialectName {
  return isSqlite(em) ? 'sqlite' : 'postgresql';
}

/**
 * Runs a statement in the transaction that `em` has begun. `?` stands for a value in both dialects; the texts must be
 * few, because on SQLite each is prepared once and kept. The entity manager's own `execute` writes the values into the
 * text instead, so that each statement is parsed anew: 42 µs a row for PostgreSQL where this takes 37.
 * @throws the ORM's exceptions
 */
export async function execute<Row>(
  em: EntityManager,
  sql: string,
  values: readonly unknown[] = [],
): Promise<Row[]> {
  em.config.getLogger().logQuery({ level: 'info', query: sql });
  try {
    if (isSqlite(em)) return (await executeSqlite(em, sql, values)) as Row[];
    const transaction = em.getTransactionContext();
    if (transaction === undefined) throw new Error('a statement outside of a transaction');
    const result = await transaction.executeQuery(CompiledQuery.raw(numbered(sql), [...values]));
    return result.rows as Row[];
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    throw em.getPlatform().getExceptionConverter().convertException(error);
  }
}

/** SQLite has one connection, which the transaction holds: what is run on it is in the transaction. */
async function executeSqlite(em: EntityManager, sql: string, values: readonly unknown[]): Promise<unknown[]> {
  const connection = em.getConnection() as unknown as SqliteConnection;
  const prepare = preparers.get(connection) ?? (await preparerOf(connection));
  const statement = prepare(sql);
  if (statement.reader) return statement.all(...values.map(toSqlite));
  statement.run(...values.map(toSqlite));
  return [];
}

type Prepare = (sql: string) => Statement<unknown[], unknown>;
const preparers = new WeakMap<SqliteConnection, Prepare>();

async function preparerOf(connection: SqliteConnection): Promise<Prepare> {
  const prepare = prepareOnce(await connection.getNativeClient());
  preparers.set(connection, prepare);
  return prepare;
}

/** Statements of one connection, each prepared when it is first asked for. */
export function prepareOnce(database: Database): Prepare {
  const statements = new Map<string, Statement<unknown[], unknown>>();
  return (sql) => {
    let statement = statements.get(sql);
    if (statement === undefined) {
      statement = database.prepare<unknown[], unknown>(sql);
      statements.set(sql, statement);
    }
    return statement;
  };
}

export function toSqlite(value: unknown): unknown {
  if (value instanceof Date) return value.getTime();
  return Array.isArray(value) ? JSON.stringify(value) : value;
}

/** PostgreSQL numbers its placeholders. A statement has no question mark but those. */
export function numbered(sql: string): string {
  let at = 0;
  return sql.replaceAll('?', () => `$${++at}`);
}
