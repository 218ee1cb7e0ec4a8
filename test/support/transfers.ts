import type { TaskView } from '../../src/tasks/view.ts';
import type { TestApp } from './app.ts';
import { settled } from './tasks.ts';

/** Sends a file and waits for the end of its task. */
export async function importFile(
  app: TestApp,
  body: string | Buffer,
  { query = '', type = 'text/csv' } = {},
): Promise<TaskView> {
  const headers = { 'content-type': type };
  const answer = await app.request('POST', `/users/import?${query}`, { body, headers });
  if (answer.status !== 202) throw new Error(answer.text);
  return settled(app.app, answer.json<{ id: number }>().id);
}

export const NDJSON = { type: 'application/x-ndjson' };

/** How many rows a table has. */
export async function countRows({ app }: TestApp, table: string): Promise<number> {
  const [row] = await app.reader.read<{ n: unknown }>(`select count(*) as n from ${table}`, []);
  return Number(row?.n);
}

/** A CSV of people; every hundredth has no email. */
export function people(many: number): string {
  const rows = Array.from({ length: many }, (_, n) =>
    n % 100 === 7 ? `Nobody ${n},none,x\r\n` : `Person ${n},person.${n}@example.com,team ${n % 7}\r\n`,
  );
  return `name,email,team\r\n${rows.join('')}`;
}
