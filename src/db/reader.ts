import Database from 'better-sqlite3';
import { LongReads } from './long-reads.ts';
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
  /** What may read many rows waits here for its turn. */
  readonly long: LongReads;
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

/** On SQLite, in a turn of the event loop. One alone took a fifth of what a service can do, by smaller transactions. */
const LONG_READS = 4;
/** On PostgreSQL, part of the connections that may be busy with them. */
const CONNECTIONS_FOR_LONG_READS = 1 / 3;

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
    long: new LongReads(LONG_READS),
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
    long: new LongReads(LONG_READS),
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
    long: new LongReads(Math.ceil(pool.options.max * CONNECTIONS_FOR_LONG_READS)),
    waiting: () => pool.waitingCount,
    close() {},
  };
}
