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
  /**
   * `?` stands for a value in both dialects. The texts must be few: values, a limit among them, belong in `values`. A query
   * that may give many rows says so: `most`.
   */
  read<Row>(sql: string, values: readonly unknown[], most?: number): Promise<Row[]>;
  /** Queries that wait for a connection, or for others that give many rows. */
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

/** More take longer than a millisecond to be read here. */
const MANY_ROWS = 250;
/**
 * Part of the connections that may be busy with so many. With all of them, each turn of the event loop had as many answers
 * to read (40 ms of ten lists of a thousand users), and a look-up waited for a connection behind hundreds of lists.
 */
const FOR_MANY_ROWS = 1 / 4;

/** A name makes the server prepare the statement once for each connection. */
async function readPostgresql(orm: Orm): Promise<Reader> {
  const pool = await poolOf(orm);
  const { default: pLimit } = await import('p-limit');
  const inTurn = pLimit(Math.ceil(pool.options.max * FOR_MANY_ROWS));
  const statements = new Map<string, { name: string; text: string }>();
  return {
    dialect: 'postgresql',
    async read<Row>(sql: string, values: readonly unknown[], most = 1) {
      let statement = statements.get(sql);
      if (statement === undefined) {
        statement = { name: `read_${statements.size}`, text: numbered(sql) };
        statements.set(sql, statement);
      }
      const query = { ...statement, values: [...values] };
      const answer = most > MANY_ROWS ? inTurn(() => pool.query(query)) : pool.query(query);
      return (await answer).rows as Row[];
    },
    waiting: () => pool.waitingCount + inTurn.pendingCount,
    close() {},
  };
}
