import Database from 'better-sqlite3';
import pg from 'pg';

/** Reads a database past the service, which may be running on it. */
export interface Connection {
  /** `?` stands for a value. */
  read<Row>(sql: string, values?: readonly unknown[]): Promise<Row[]>;
  close(): Promise<void>;
}

export async function connect(url: string): Promise<Connection> {
  if (url.startsWith('sqlite:')) {
    const db = new Database(url.slice('sqlite:'.length), { readonly: true });
    return {
      read: async <Row>(sql: string, values: readonly unknown[] = []) =>
        db.prepare(sql).all(...values) as Row[],
      close: async () => void db.close(),
    };
  }
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  return {
    async read<Row>(sql: string, values: readonly unknown[] = []) {
      let n = 0;
      const { rows } = await client.query(
        sql.replace(/\?/g, () => `$${++n}`),
        [...values],
      );
      return rows as Row[];
    },
    close: () => client.end(),
  };
}
