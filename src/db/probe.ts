import type { Client } from 'pg';
import type { Orm } from './orm.ts';
import { createClient } from './postgresql.ts';
import { sqliteConnection } from './sqlite.ts';
import { numbered, toSqlite } from './statement.ts';
import { type DialectName, dialectOf } from './url.ts';

/** What a query of a probe may take. */
const LONGEST_MS = 1000;

/**
 * Short queries for those who watch: they wait for nobody. A full pool and a full write queue are what they want to see,
 * and must not keep them from seeing it.
 */
export interface Probe {
  readonly dialect: DialectName;
  read<Row>(sql: string, values?: readonly unknown[]): Promise<Row[]>;
  close(): Promise<void>;
}

export function openProbe(orm: Orm, databaseUrl: string): Probe {
  return dialectOf(databaseUrl) === 'sqlite' ? probeSqlite(orm) : new PostgresqlProbe(databaseUrl);
}

/** The one connection, past the queue before it. In the middle of a transaction this sees what that has written; no harm. */
function probeSqlite(orm: Orm): Probe {
  const connection = sqliteConnection(orm.em);
  return {
    dialect: 'sqlite',
    async read<Row>(sql: string, values: readonly unknown[] = []) {
      return (await connection.run(sql, values.map(toSqlite), true)).rows as Row[];
    },
    async close() {},
  };
}

/** A connection of its own, made when it is first asked for: new ones might be refused just when all are in use. */
class PostgresqlProbe implements Probe {
  readonly dialect = 'postgresql';
  readonly #databaseUrl: string;
  #client: Promise<Client> | undefined;
  #last: Promise<unknown> = Promise.resolve();

  constructor(databaseUrl: string) {
    this.#databaseUrl = databaseUrl;
  }

  async read<Row>(sql: string, values: readonly unknown[] = []): Promise<Row[]> {
    const asked = this.#last.then(() => this.#query<Row>(sql, values));
    this.#last = asked.catch(() => {});
    return asked;
  }

  async #query<Row>(sql: string, values: readonly unknown[]): Promise<Row[]> {
    this.#client ??= this.#connect();
    const client = this.#client;
    try {
      return (await (await client).query(numbered(sql), [...values])).rows as Row[];
    } catch (error) {
      this.#forget(client); // whatever it was: the next query begins with a fresh one
      throw error;
    }
  }

  async close(): Promise<void> {
    await this.#last;
    if (this.#client !== undefined) await this.#forget(this.#client);
  }

  async #connect(): Promise<Client> {
    const client = await createClient(this.#databaseUrl, {
      connectionTimeoutMillis: LONGEST_MS,
      query_timeout: LONGEST_MS,
      statement_timeout: LONGEST_MS,
    });
    const connected = client.connect().then(() => client);
    client.on('error', () => this.#forget(connected));
    return connected;
  }

  async #forget(client: Promise<Client>): Promise<void> {
    if (this.#client === client) this.#client = undefined;
    await client.then((one) => one.end()).catch(() => {});
  }
}
