import type { FastifyInstance } from 'fastify';
import type { Test } from 'tap';
import type { DialectName } from '../../src/db/url.ts';

export type Explain = (sql: string, values: readonly unknown[], settings?: string) => Promise<string>;

/**
 * Tells how the database goes about a query. On a table of three hundred rows PostgreSQL would rightly read them all;
 * that it can go along an index is what is to be seen, so reading all of a table is out of the question.
 */
export async function startExplaining(t: Test, app: FastifyInstance, dialect: DialectName): Promise<Explain> {
  const em = app.orm.em.fork();
  if (dialect === 'postgresql') {
    await em.begin();
    await em.execute('set local enable_seqscan = off');
    await em.execute('set local enable_bitmapscan = off');
    t.teardown(() => em.rollback());
  }
  return async (sql, values, settings) => {
    if (dialect === 'postgresql' && settings !== undefined) await em.execute(settings);
    const explained = dialect === 'sqlite' ? `explain query plan ${sql}` : `explain ${sql}`;
    const rows = await em.execute<Record<string, unknown>[]>(
      explained,
      values.map((value) => literal(value, dialect)),
    );
    return rows.map((row) => String(row.detail ?? row['QUERY PLAN'])).join('\n');
  };
}

/** The entity manager writes values into the text of a statement, and knows no arrays. */
function literal(value: unknown, dialect: DialectName): unknown {
  if (!Array.isArray(value)) return value;
  return dialect === 'sqlite' ? JSON.stringify(value) : `{${value.join()}}`;
}
