import { mentions, type Person, redact, termsOf } from '../db/personal.ts';
import { dialectOf } from '../db/statement.ts';
import type { Tx } from '../db/tx.ts';

/** Tasks that are looked through in one transaction, and looked at in detail when they mention the person. */
const WINDOW = 1000;
const COLUMNS = ['input', 'progress', 'checkpoint', 'result', 'error'] as const;

/** Removes a person from the tasks after an id, one window of them; gives where to go on, undefined at the end. */
export async function eraseFromTasks(tx: Tx, person: Person, after = 0): Promise<number | undefined> {
  const dialect = dialectOf(tx.em);
  const [last] = await tx.execute<{ id: number | null }>(
    'select max(id) as id from (select id from tasks where id > ? order by id limit ?) as next',
    [after, WINDOW],
  );
  if (last?.id == null) return undefined;
  const texts = COLUMNS.map((column) => `cast(${column} as text) as ${column}`).join(', ');
  const found = COLUMNS.map((column) => mentions(dialect, column)).join(' or ');
  const lock = dialect === 'sqlite' ? '' : 'order by id for update';
  const rows = await tx.execute<{ id: number } & Record<(typeof COLUMNS)[number], string | null>>(
    `select id, ${texts} from tasks where id > ? and id <= ? and (${found}) ${lock}`,
    [after, last.id, ...COLUMNS.map(() => termsOf(person))],
  );
  for (const row of rows) {
    const values = COLUMNS.map((column) => {
      const text = row[column];
      return text === null ? null : JSON.stringify(redact(JSON.parse(text), person));
    });
    await tx.execute(`update tasks set ${COLUMNS.map((column) => `${column} = ?`).join(', ')} where id = ?`, [
      ...values,
      row.id,
    ]);
  }
  if (rows.length > 0) tx.changed();
  return last.id;
}
