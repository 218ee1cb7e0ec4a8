import Database from 'better-sqlite3';
import type { Orm } from './orm.ts';
import { poolOf } from './postgresql.ts';
import { prepareOnce } from './sqlite-engine.ts';
import { numbered, toSqlite } from './statement.ts';
import { type DialectName, dialectOf, sqlitePath } from './url.ts';

/**
 * Plain queries outside of any transaction, prepared once: for a single look-up, preparing and writing values into SQL
 * text cost five times the query itself (18.7 against 3.2 µs). They see what is committed, and nothing else.
 */
export interface Reader {
  readonly dialect: DialectName;
  /** `?` stands for a value in both dialects. The texts must be few: values, a limit among them, belong in `values`. */
  read<Row>(sql: string, values: readonly unknown[]): Promise<Row[]>;
  /** Queries that wait for a connection. */
  waiting(): number;
  close(): void;
}

type Failed = (error: unknown) => void;

/** `failed` is told of each query that fails on an SQLite file. */
export async function openReader(orm: Orm, databaseUrl: string, failed: Failed = () => {}): Promise<Reader> {
  const dialect = dialectOf(databaseUrl);
  if (dialect === 'postgresql') return readPostgresql(orm);
  const path = sqlitePath(databaseUrl);
  return path === ':memory:' ? readMemory(orm) : readSqlite(path, failed);
}

/**
 * A second connection to the file, for reading only. In WAL mode it neither waits for the writing one, which has a
 * thread of its own, nor sees what that has not committed.
 */
function readSqlite(path: string, failed: Failed): Reader {
  const database = new Database(path, { readonly: true, timeout: 100 });
  database.pragma('trusted_schema = OFF');
  const prepare = prepareOnce(database);
  return {
    dialect: 'sqlite',
    async read<Row>(sql: string, values: readonly unknown[]) {
      try {
        return prepare(sql).all(...values.map(toSqlite)) as Row[];
      } catch (error) {
        failed(error);
        throw error;
      }
    },
    waiting: () => 0,
    close: () => database.close(),
  };
}

/** A database in memory is seen by one connection only, so these queries wait for its transactions. */
function readMemory(orm: Orm): Reader {
  return {
    dialect: 'sqlite',
    read: <Row>(sql: string, values: readonly unknown[]) =>
      orm.em.fork().execute<Row[]>(sql, values.map(toSqlite)),
    waiting: () => 0,
    close() {},
  };
}

/** A name makes the server prepare the statement once for each connection. */
async function readPostgresql(orm: Orm): Promise<Reader> {
  const pool = await poolOf(orm);
  const statements = new Map<string, { name: string; text: string }>();
  return {
    dialect: 'postgresql',
    async read<Row>(sql: string, values: readonly unknown[]) {
      let statement = statements.get(sql);
      if (statement === undefined) {
        statement = { name: `read_${statements.size}`, text: numbered(sql) };
        statements.set(sql, statement);
      }
      return (await pool.query({ ...statement, values: [...values] })).rows as Row[];
    },
    waiting: () => pool.waitingCount,
    close() {},
  };
}
