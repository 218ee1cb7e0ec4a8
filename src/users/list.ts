import type { EntityManager } from '@mikro-orm/sql';
import { type Condition, contains, matchesSearch } from '../db/dialect.ts';
import { Malformed } from '../errors.ts';
import { type CursorValues, readCursor, writeCursor } from '../http/paging.ts';
import { emailKey, nameKey, searchTerm } from './keys.ts';
import type { ListUsersQuery, User } from './users.schemas.ts';
import { USER_COLUMNS, type UserRow, userOfRow } from './users.ts';

interface Page {
  users: User[];
  /** Where the next page goes on; undefined at the end. */
  next: string | undefined;
}

/** The column that a sort runs along, and its value in a cursor. Each has an index that ends in `id`, or is unique. */
const SORTS = {
  id: { column: 'id', valueOf: (user: User) => user.id },
  name: { column: 'name_key', valueOf: (user: User) => nameKey(user.name) },
  email: { column: 'email_key', valueOf: (user: User) => emailKey(user.email) },
  createdAt: { column: 'created_at', valueOf: (user: User) => user.createdAt.getTime() },
} as const;

/** In which order, and from where on. */
interface Order {
  column: string;
  by: string;
  beyond: Condition | undefined;
}

/**
 * One page by keyset: the rows beyond the cursor's, in index order, so that the last page costs what the first does.
 * Never OFFSET. Rows, not entities (100 of them: 37 µs instead of 580).
 * @throws {Malformed} for a cursor that is none, or not of this list, and for a `q` too short for its index
 */
export async function listUsers(em: EntityManager, query: ListUsersQuery): Promise<Page> {
  const list = [query.sort, query.email, query.name, query.q];
  const sort = SORTS[query.sort.replace('-', '') as keyof typeof SORTS];
  const order = readOrder(query, list, sort.column);
  // One more than asked for tells whether there is a next page.
  const rows = await findRows(em, query, order, query.limit + 1);
  const users = rows.slice(0, query.limit).map(userOfRow);
  const last = users.at(-1);
  if (rows.length <= query.limit || last === undefined) return { users, next: undefined };
  return { users, next: writeCursor(list, [sort.valueOf(last), last.id]) };
}

function readOrder(query: ListUsersQuery, list: unknown, column: string): Order {
  const descending = query.sort.startsWith('-');
  const direction = descending ? 'desc' : 'asc';
  const by =
    column === 'id' ? `order by id ${direction}` : `order by ${column} ${direction}, id ${direction}`;
  if (query.after === undefined) return { column, by, beyond: undefined };
  const like: CursorValues = [column === 'id' || column === 'created_at' ? 0 : '', 0];
  const [key, id] = readCursor(list, query.after, like);
  const operator = descending ? '<' : '>';
  if (column === 'id') return { column, by, beyond: { sql: `id ${operator} ?`, values: [id] } };
  const value = column === 'created_at' ? new Date(Number(key)) : key;
  return { column, by, beyond: { sql: `(${column}, id) ${operator} (?, ?)`, values: [value, id] } };
}

async function findRows(
  em: EntityManager,
  query: ListUsersQuery,
  order: Order,
  limit: number,
): Promise<UserRow[]> {
  const filters: Condition[] = [];
  if (query.email !== undefined) filters.push({ sql: 'email_key = ?', values: [emailKey(query.email)] });
  if (query.name !== undefined) filters.push({ sql: 'name_key = ?', values: [nameKey(query.name)] });
  const term = query.q === undefined ? undefined : readTerm(query.q);
  if (term === undefined) return select(em, filters, order, limit);
  if (filters.length > 0) return select(em, [...filters, contains(em, 'search_key', term)], order, limit);
  return search(em, term, order, limit);
}

/**
 * A search in the order of an index has two ways: along the index, looking at each row, which is good when many match,
 * and through the trigrams, sorting all that match, which is good when few do. So it looks at the next rows along the
 * index first, and only when they do not fill the page asks the trigrams. By id, the trigrams are in order themselves.
 */
async function search(em: EntityManager, term: string, order: Order, limit: number): Promise<UserRow[]> {
  if (order.column === 'id') {
    const beyond = order.beyond && { ...order.beyond, sql: `rowid ${order.beyond.sql.slice('id '.length)}` };
    const page = {
      sql: `${beyond === undefined ? '' : `and ${beyond.sql}`} ${order.by.replace(' id ', ' rowid ')} limit ${limit}`,
      values: beyond?.values ?? [],
    };
    return select(em, [matchesSearch(em, term, page)], order, limit);
  }
  const near = `(select * from users ${where([order.beyond])} ${order.by} limit ${NEAR_ROWS}) as near`;
  const found = await selectFrom(em, near, [order.beyond], [contains(em, 'search_key', term)], order, limit);
  return found.length === limit ? found : select(em, [matchesSearch(em, term)], order, limit);
}

/** About 10 ms of looking at rows one by one. */
const NEAR_ROWS = 5000;

function select(em: EntityManager, filters: Condition[], order: Order, limit: number): Promise<UserRow[]> {
  return selectFrom(em, 'users', [], [...filters, order.beyond], order, limit);
}

function selectFrom(
  em: EntityManager,
  table: string,
  inTable: (Condition | undefined)[],
  filters: (Condition | undefined)[],
  order: Order,
  limit: number,
): Promise<UserRow[]> {
  const values = [...inTable, ...filters].flatMap((condition) => condition?.values ?? []);
  return em.execute<UserRow[]>(
    `select ${USER_COLUMNS} from ${table} ${where(filters)} ${order.by} limit ${limit}`,
    values,
  );
}

function where(conditions: (Condition | undefined)[]): string {
  const present = conditions.filter((condition) => condition !== undefined);
  return present.length === 0 ? '' : `where ${present.map((condition) => condition.sql).join(' and ')}`;
}

/** Fewer than three characters have no trigram: the search would look at every user. */
function readTerm(q: string): string {
  const term = searchTerm(q);
  if ([...term].length >= 3) return term;
  const fault = { in: 'query', pointer: '#/q', detail: 'must be 3 characters or more' } as const;
  throw new Malformed('invalid-parameter', 'The search is too short.', [fault]);
}
