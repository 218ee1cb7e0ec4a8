import type { Reader } from '../db/reader.ts';
import { readCursor, writeCursor } from '../http/paging.ts';
import type { ListTasksQuery } from './tasks.schemas.ts';
import { LISTED_COLUMNS, type Row, shown, type TaskView } from './view.ts';

/**
 * One page by keyset, newest first: who looks at a list of tasks looks for the last. With both filters one of them is
 * kept from its index, so that the other's is asked on both databases: by state if few have it, else by kind. `next` is
 * where the next page goes on, and undefined at the end.
 * @throws {Malformed} for a cursor that is none, or not of this list
 */
export async function listTasks(reader: Reader, query: ListTasksQuery) {
  const list = ['tasks', query.state, query.kind];
  const conditions: string[] = [];
  const values: unknown[] = [];
  // Nearly all tasks that are kept have succeeded.
  const byKind = query.state === undefined || query.state === 'succeeded';
  if (query.kind !== undefined) {
    conditions.push(byKind ? 'kind = ?' : `coalesce(kind, '') = ?`);
    values.push(query.kind);
  }
  if (query.state !== undefined) {
    conditions.push(query.kind !== undefined && byKind ? `coalesce(state, '') = ?` : 'state = ?');
    values.push(query.state);
  }
  if (query.after !== undefined) {
    const [id] = readCursor(list, query.after, [0]);
    conditions.push('id < cast(? as bigint)');
    values.push(id);
  }
  const where = conditions.length === 0 ? '' : `where ${conditions.join(' and ')}`;
  // One more than asked for tells whether there is a next page.
  const rows = await reader.read<Row>(
    `select ${LISTED_COLUMNS} from tasks ${where} order by id desc limit ?`,
    [...values, query.limit + 1],
  );
  const tasks = rows.slice(0, query.limit).map(shown<TaskView>);
  const last = tasks.at(-1);
  const next = rows.length > query.limit && last !== undefined ? writeCursor(list, [last.id]) : undefined;
  return { tasks, next };
}
