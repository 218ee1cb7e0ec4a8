import { listed } from '../db/given.ts';
import { readJson } from '../db/json.ts';
import { mentions, type Person, redact, redactText } from '../db/personal.ts';
import { dialectOf } from '../db/statement.ts';
import type { Tx } from '../db/tx.ts';
import { cancelDescendants } from './control.ts';

/** Tasks that are looked through in one transaction: on SQLite other writes wait meanwhile. */
const WINDOW = 100;
const COLUMNS = ['input', 'progress', 'checkpoint', 'result', 'error'] as const;
const READ = [
  'id, kind, finished_at, dedupe_key',
  ...COLUMNS.map((one) => `cast(${one} as text) as ${one}`),
].join();

interface Row extends Record<(typeof COLUMNS)[number] | 'dedupe_key', string | null> {
  id: number;
  kind: string;
  finished_at: unknown;
}

/**
 * Removes a person from the tasks after an id, one window of them; gives where to go on, undefined at the end. A task
 * that mentions them and has not ended is cancelled first, and its window is looked at again when it has: what it was
 * given would else be written back. `exceptKind` is the kind that does all this, and knows them until it ends.
 */
export async function eraseFromTasks(
  tx: Tx,
  person: Person,
  after: number,
  exceptKind: string,
): Promise<number | undefined> {
  const rows = await tx.execute<Row>(`select ${READ} from tasks where id > ? order by id limit ?`, [
    after,
    WINDOW,
  ]);
  const named = rows.filter(
    (row) =>
      (row.kind !== exceptKind || row.finished_at !== null) &&
      textsOf(row).some((text) => mentions(text, person)),
  );
  const found = await lockRows(tx, named);
  const unfinished = found.filter(({ finished_at }) => finished_at === null);
  const ids = unfinished.map(({ id }) => id);
  await cancelDescendants(tx, ids, { self: true });
  if (ids.length > 0) return after;
  for (const row of found) await redactTask(tx, row, person);
  return rows.at(-1)?.id;
}

/**
 * As they are now: what another erasure removes meanwhile would else be written back. Those alone, since others wait to
 * be written by who runs them.
 */
async function lockRows(tx: Tx, rows: readonly Row[]): Promise<Row[]> {
  const dialect = dialectOf(tx.em);
  if (dialect === 'sqlite' || rows.length === 0) return [...rows];
  return tx.execute<Row>(
    `select ${READ} from tasks where id in (${listed(dialect, 'int')}) order by id for update`,
    [JSON.stringify(rows.map(({ id }) => id))],
  );
}

async function redactTask(tx: Tx, row: Row, person: Person): Promise<void> {
  tx.changed();
  const values = COLUMNS.map((column) => {
    const text = row[column];
    return text === null ? null : JSON.stringify(redact(readJson(text), person));
  });
  const key = row.dedupe_key === null ? null : redactText(row.dedupe_key, person);
  const set = [...COLUMNS, 'dedupe_key'].map((column) => `${column} = ?`).join(', ');
  await tx.execute(`update tasks set ${set} where id = ?`, [...values, key, row.id]);
}

function textsOf(row: Row): string[] {
  return [...COLUMNS, 'dedupe_key' as const].flatMap((column) => row[column] ?? []);
}

/** The same of the schedules, of which there are a few. One whose input no longer fits its kind fires no more, and says so. */
export async function eraseFromSchedules(tx: Tx, person: Person): Promise<undefined> {
  const rows = await tx.execute<{ id: number; input: string }>(
    `select id, cast(input as text) as input from schedules ${dialectOf(tx.em) === 'sqlite' ? '' : 'order by id for update'}`,
    [],
  );
  for (const { id, input } of rows.filter((row) => mentions(row.input, person))) {
    tx.changed();
    const redacted = JSON.stringify(redact(readJson(input), person));
    await tx.execute('update schedules set input = ? where id = ?', [redacted, id]);
  }
}
