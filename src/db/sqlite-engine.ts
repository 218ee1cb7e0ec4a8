import Database, { type Database as Connection, type Statement } from 'better-sqlite3';

export interface SqliteResult {
  rows: unknown[];
  /** Of a statement that gives no rows. */
  changes?: number | bigint;
  lastInsertRowid?: number | bigint;
}

/** One connection to an SQLite database, in the thread in which it is made. */
export class SqliteEngine {
  readonly #database: Connection;
  readonly #kept: Prepare;

  constructor(path: string) {
    this.#database = new Database(path);
    this.#kept = prepareOnce(this.#database);
  }

  /** `keep`: the text comes again, so what is prepared of it is kept. */
  run(sql: string, values: readonly unknown[], keep: boolean): SqliteResult {
    const statement = keep ? this.#kept(sql) : this.#database.prepare<unknown[], unknown>(sql);
    return statement.reader ? { rows: statement.all(...values) } : { rows: [], ...statement.run(...values) };
  }

  close(): void {
    this.#database.close();
  }
}

type Prepare = (sql: string) => Statement<unknown[], unknown>;

/** Statements of one connection, each prepared when it is first asked for. */
export function prepareOnce(database: Connection): Prepare {
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
