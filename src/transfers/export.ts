import { setImmediate as turn } from 'node:timers/promises';
import { CHANGE_COLUMNS, type ChangeRow, readExtent } from '../changes/log.ts';
import { isAmong } from '../db/dialect.ts';
import type { Reader } from '../db/reader.ts';
import { emailKey, nameKey, searchKey, searchTerm } from '../users/keys.ts';
import { listUsers } from '../users/list.ts';
import type { UserRow } from '../users/user-json.ts';
import type { User } from '../users/users.schemas.ts';

export interface Filter {
  email?: string;
  name?: string;
  q?: string;
}

/** A page is read (on SQLite) and written while all else waits: a hundred take half a millisecond. */
const PAGE_USERS = { busy: 100, quiet: 500 };
/** Changes whose users are looked at together. */
const PAGE_CHANGES = 5000;

/**
 * All users as they were at one position of the log, page by page, without a transaction that spans them: SQLite's
 * journal could not be cut off meanwhile, nor PostgreSQL's dead rows. Each page is read as it is now; then what has been
 * changed since the position is looked up in the log, and those users are put back to what they were: the page was read
 * before the log, so nothing that is in it is missed.
 * `isBusy`: whether somebody would have to wait.
 * @throws {Malformed} for a search that is too short, with the first page
 */
export async function* exportUsers(
  reader: Reader,
  position: number,
  filter: Filter,
  isBusy: () => boolean,
): AsyncGenerator<UserRow[]> {
  const changes = new ChangesSince(reader, position);
  const last = await lastId(reader); // whoever has a greater id came later
  let from = 0;
  for (let after: string | undefined; ; ) {
    await turn(); // on SQLite nothing else here waits: a client that reads fast had the service for itself
    const { rows, next } = await listUsers(reader, {
      ...filter,
      sort: 'id',
      limit: isBusy() ? PAGE_USERS.busy : PAGE_USERS.quiet,
      ...(after !== undefined && { after }),
    });
    const to = next === undefined ? last : Math.min(last, rows.at(-1)?.id ?? last);
    const changed = await changes.users(from, to, last);
    const then = await statesThen(reader, changed, position);
    const page = rows.filter(({ id }) => id <= last && !changed.has(id));
    page.push(...then.filter((user) => matches(user, filter)).map(rowOf));
    yield page.sort((a, b) => a.id - b.id);
    if (next === undefined || to === last) return;
    [from, after] = [to, next];
  }
}

/** The users that have changed since a position, read from the log once, as it grows. */
class ChangesSince {
  readonly #reader: Reader;
  #position: number;
  /** Only those who are still to be exported: an import beside an export makes millions of changes. */
  #ids = new Set<number>();

  constructor(reader: Reader, position: number) {
    this.#reader = reader;
    this.#position = position;
  }

  /** Those with `from` < id ≤ `to`. What is above `last`, or up to `from`, will never be asked for. */
  async users(from: number, to: number, last: number): Promise<Set<number>> {
    for (;;) {
      const rows = await this.#reader.read<{ position: number | string; user_id: number }>(
        'select position, user_id from changes where position > ? order by position limit ?',
        [this.#position, PAGE_CHANGES],
      );
      for (const { user_id: id } of rows) if (id > from && id <= last) this.#ids.add(id);
      this.#position = Number(rows.at(-1)?.position ?? this.#position);
      if (rows.length < PAGE_CHANGES) break;
    }
    const found = new Set([...this.#ids].filter((id) => id <= to));
    for (const id of found) this.#ids.delete(id);
    return found;
  }
}

async function lastId(reader: Reader): Promise<number> {
  const [row] = await reader.read<{ users: number | null; changes: number | null }>(
    'select (select max(id) from users) as users, (select max(user_id) from changes) as changes',
    [],
  );
  return Math.max(row?.users ?? 0, row?.changes ?? 0);
}

/** What these users were at a position, by the log; not those who were not there, nor whoever was erased since. */
async function statesThen(reader: Reader, ids: ReadonlySet<number>, position: number): Promise<User[]> {
  if (ids.size === 0) return [];
  const rows = await reader.read<ChangeRow>(
    `select ${CHANGE_COLUMNS} from changes where ${isAmong(reader.dialect, 'user_id')} order by user_id, version`,
    [[...ids]],
  );
  const { keptAfter } = await readExtent(reader);
  const states = new Map<number, string | null>();
  const byUser = Map.groupBy(rows, ({ user_id: id }) => id);
  for (const id of ids) {
    const own = byUser.get(id) ?? [];
    const state = own.findLast((row) => Number(row.position) <= position);
    // The log may not go back to what they were before: then nobody can say it any more.
    const isKnown = state !== undefined || own[0]?.type === 'user.created';
    if (!isKnown || keptAfter > position) throw new Error('the log is not kept that far back');
    states.set(id, state?.state ?? null);
  }
  return [...states.values()].flatMap((state) => (state === null ? [] : [JSON.parse(state) as User]));
}

function matches(user: User, { email, name, q }: Filter): boolean {
  return (
    (email === undefined || emailKey(user.email) === emailKey(email)) &&
    (name === undefined || nameKey(user.name) === nameKey(name)) &&
    (q === undefined || searchKey(user.name, user.email).includes(searchTerm(q)))
  );
}

function rowOf({ attributes, createdAt, updatedAt, ...rest }: User): UserRow {
  return {
    ...rest,
    attributes: JSON.stringify(attributes),
    created_at: createdAt,
    updated_at: updatedAt,
  };
}
