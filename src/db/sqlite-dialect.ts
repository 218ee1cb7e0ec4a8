import {
  type CompiledQuery,
  type DatabaseConnection,
  type Dialect,
  type Driver,
  type QueryResult,
  SqliteAdapter,
  SqliteIntrospector,
  SqliteQueryCompiler,
} from 'kysely';
import { connectSqlite, type SqliteConnection } from './sqlite-connection.ts';

/** How the ORM comes to the one connection that writes. Kysely lets one transaction at a time have it. */
export class SqliteDialect implements Dialect {
  readonly #path: string;
  #connection: SqliteConnection | undefined;

  constructor(path: string) {
    this.#path = path;
  }

  get connection(): SqliteConnection {
    this.#connection ??= connectSqlite(this.#path);
    return this.#connection;
  }

  createDriver(): Driver {
    return new SqliteDriver(this.connection);
  }
  createQueryCompiler = () => new SqliteQueryCompiler();
  createAdapter = () => new SqliteAdapter();
  createIntrospector: Dialect['createIntrospector'] = (db) => new SqliteIntrospector(db);
}

/** Its one connection is itself. */
class SqliteDriver implements Driver, DatabaseConnection {
  readonly #connection: SqliteConnection;

  constructor(connection: SqliteConnection) {
    this.#connection = connection;
  }

  async executeQuery<R>({ sql, parameters }: CompiledQuery): Promise<QueryResult<R>> {
    const { rows, changes, lastInsertRowid } = await this.#connection.run(sql, parameters);
    return {
      rows: rows as R[],
      ...(changes !== undefined && { numAffectedRows: BigInt(changes) }),
      ...(lastInsertRowid !== undefined && { insertId: BigInt(lastInsertRowid) }),
    };
  }

  streamQuery(): never {
    throw new Error('a large result is read by pages: while it is streamed, nothing else could be written');
  }

  async init(): Promise<void> {}

  async acquireConnection(): Promise<DatabaseConnection> {
    return this;
  }

  async releaseConnection(): Promise<void> {}

  async beginTransaction(): Promise<void> {
    await this.#connection.run('begin', [], true);
  }

  async commitTransaction(): Promise<void> {
    await this.#connection.run('commit', [], true);
  }

  async rollbackTransaction(): Promise<void> {
    await this.#connection.run('rollback', [], true);
  }

  /** Each migration is one, in the transaction of all; its name is the ORM's. */
  async savepoint(_: DatabaseConnection, name: string): Promise<void> {
    await this.#connection.run(`savepoint ${name}`);
  }

  async rollbackToSavepoint(_: DatabaseConnection, name: string): Promise<void> {
    await this.#connection.run(`rollback to ${name}`);
  }

  async releaseSavepoint(_: DatabaseConnection, name: string): Promise<void> {
    await this.#connection.run(`release ${name}`);
  }

  destroy(): Promise<void> {
    return this.#connection.close();
  }
}
