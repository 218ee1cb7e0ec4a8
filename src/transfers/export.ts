import { CHANGE_COLUMNS, type ChangeRow, HEAD, readExtent } from '../changes/log.ts';
import { isAmong } from '../db/dialect.ts';
import { readJson } from '../db/json.ts';
import type { Reader } from '../db/reader.ts';
import { emailKey, nameKey, searchKey, searchTerm } from '../users/keys.ts';
import { fromUsers, type UserFilter } from '../users/list.ts';
import { USER_COLUMNS, type UserRow } from '../users/user-json.ts';
import type { User } from '../users/users.schemas.ts';
import type { Lines } from './lines.ts';
import { Pace } from './pace.ts';

/**
 * On SQLite a page is read while all else waits, a hundred users in a quarter of a millisecond; and with each, the client
 * takes its core from somebody. On PostgreSQL pages four times as large took more memory, and hardly less time.
 */
const PACE = { busy: 100, quiet: 1000, rest: 12 };
/** Pages of large users have fewer: of each client that reads slowly, up to six are in memory. */
const PAGE_BYTES = 524_288;
const FIRST_PAGE_USERS = 100;
/** Pages that PostgreSQL reads while one is looked through: a page is on its way for as long as it takes to be made. */
const AHEAD = { busy: 1, quiet: 3 };
/** How full of users a page is meant to be: one that is cut off costs those that were asked for after it. */
const GUESS = 0.8;
const MOST_IDS_OF_ONE = 2 ** 20;
/** Changes whose users are looked at together. */
const PAGE_CHANGES = 5000;

/** Users that the database has made into one text, of which SQLite gives the bytes. */
interface PageRow {
  users: number | string;
  /** Of those users, whose lines are not null. */
  lines: number | string;
  last: number | null;
  text: string | Buffer | null;
  head: number | string;
  kept_after: number | string;
}

/** Which users a page is made of: `after` < id ≤ `to`. */
interface Range {
  after: number;
  to: number;
}

interface Page extends Range {
  users: number;
  text: string | Buffer;
  /** Whether each of them has a line. */
  isWhole: boolean;
  /** From where to where the log went when it was read. */
  keptAfter: number;
  head: number;
  /** How long that took. */
  ms: number;
}

/**
 * All users as they were at one position of the log, page by page, without a transaction that spans them: SQLite's
 * journal could not be cut off meanwhile, nor PostgreSQL's dead rows. Each page is read as it is now; then what has been
 * changed since the position is looked up in the log, and those users are put back to what they were: the page was read
 * before the log, so nothing that is in it is missed. One of whom the log does not go back to the position, because the
 * change before it is pruned, is put back to the first change after it: who follows from the position sees that again.
 * `isBusy`: whether somebody would have to wait.
 * @throws {Malformed} for a search that is too short, with the first page
 */
export async function* exportUsers(
  reader: Reader,
  position: number,
  filter: UserFilter,
  lines: Lines,
  isBusy: () => boolean,
): AsyncGenerator<string | Buffer> {
  const last = await lastId(reader); // whoever has a greater id came later
  const changes = new ChangesSince(reader, position, last);
  const pace = new Pace(isBusy, PACE);
  const pages = readPages(reader, filter, lines, last, pace, isBusy);
  for (let begun = performance.now(); ; begun = performance.now()) {
    const { value: page, done } = await pages.next();
    if (done) return;
    if (page.keptAfter > position) throw notKept();
    const { size } = await changes.users(page, page.head);
    const made =
      size === 0 && page.isWhole ? page.text : await pageThen(reader, position, filter, lines, changes, page);
    const ms = Math.max(performance.now() - begun, page.ms); // what the client takes to read it is no work
    yield made;
    changes.forget(page.to);
    await pace.rest(ms); // on SQLite nothing else here waits: a client that reads fast had the service for itself
  }
}

/** As they are now. */
async function* readPages(
  reader: Reader,
  filter: UserFilter,
  lines: Lines,
  last: number,
  pace: Pace,
  isBusy: () => boolean,
): AsyncGenerator<Page> {
  // Where a page will end is guessed by the pages before, so that the next can be asked for meanwhile.
  const isGuessed =
    reader.dialect === 'postgresql' && Object.values(filter).every((one) => one === undefined);
  const line = lines.sql(reader.dialect);
  const asked: { to: number; idsOfOne: number; page: Promise<Page> }[] = [];
  let [from, limit, fits, idsOfOne] = [0, FIRST_PAGE_USERS, FIRST_PAGE_USERS, 1];
  const ask = () => {
    const to = isGuessed ? Math.min(last, from + limit * idsOfOne) : last;
    const page = readPage(reader, filter, line, { after: from, to }, limit, last);
    page.catch(() => {}); // told when it is asked for, if it still is
    asked.push({ to, idsOfOne, page });
    from = to;
  };
  for (;;) {
    if (asked.length === 0) ask();
    const next = asked.shift() as (typeof asked)[number];
    const page = await next.page;
    if (page.to < next.to) [from, asked.length] = [page.to, 0];
    if (page.users > 0) {
      fits = Math.max(1, Math.floor((page.users * PAGE_BYTES) / Math.max(1, page.text.length)));
      idsOfOne = Math.floor((GUESS * (page.to - page.after)) / page.users);
    } else if (next.idsOfOne === idsOfOne) idsOfOne *= 2;
    idsOfOne = Math.min(Math.max(1, idsOfOne), MOST_IDS_OF_ONE);
    limit = Math.min(pace.size, fits);
    const isQuiet = !isBusy() && reader.waiting() === 0;
    const most = reader.dialect === 'sqlite' ? 0 : isQuiet ? AHEAD.quiet : AHEAD.busy;
    while (asked.length < most && from < last) ask();
    yield page;
    if (page.to >= last) return;
  }
}

/** The first `limit` users of a range, and of those of a filter. */
async function readPage(
  { dialect, read }: Reader,
  filter: UserFilter,
  line: string,
  { after, to }: Range,
  limit: number,
  last: number,
): Promise<Page> {
  const begun = performance.now();
  const text = dialect === 'sqlite' ? `cast(string_agg(line, '') as blob)` : `string_agg(line, '')`;
  const from = fromUsers(dialect, filter, { after, to: to < last ? to : undefined, limit });
  const [row] = await read<PageRow>(
    `select count(*) as users, count(line) as lines, max(id) as last, ${text} as text,
       (select ${HEAD} from change_log) as head, (select kept_after from change_log) as kept_after
     from (select id, ${line} as line ${from.sql}) as page where id <= ?`,
    [...from.values, last],
  );
  const users = Number(row?.users);
  return {
    after,
    to: users < limit ? to : (row?.last ?? to),
    users,
    text: row?.text ?? '',
    isWhole: users === Number(row?.lines),
    head: Number(row?.head),
    keptAfter: Number(row?.kept_after),
    ms: performance.now() - begun,
  };
}

/** A page of which some have been changed since the position: row by row, and those as the log knows them. */
async function pageThen(
  reader: Reader,
  position: number,
  filter: UserFilter,
  lines: Lines,
  changes: ChangesSince,
  range: Range,
): Promise<string> {
  const from = fromUsers(reader.dialect, filter, { ...range, limit: range.to - range.after });
  const rows = await reader.read<UserRow>(`select ${USER_COLUMNS} ${from.sql}`, from.values);
  const changed = await changes.users(range);
  const then = await statesThen(reader, changed, position);
  return rows
    .filter(({ id }) => !changed.has(id))
    .concat(then.filter((user) => matches(user, filter)).map(rowOf))
    .sort((a, b) => a.id - b.id)
    .map(lines.of)
    .join('');
}

/** The users that have changed since a position, read from the log once, as it grows. */
class ChangesSince {
  readonly #reader: Reader;
  readonly #from: number;
  readonly #last: number;
  #position: number;
  /** Only those who are still to be exported: an import beside an export makes millions of changes. */
  readonly #ids = new Set<number>();
  #done = 0;

  /** `last`: the greatest id that will be asked for. */
  constructor(reader: Reader, position: number, last: number) {
    this.#reader = reader;
    this.#from = position;
    this.#position = position;
    this.#last = last;
  }

  /**
   * Those in a range, by the log up to a position at least.
   * @throws {Error} when some of the log has been pruned since
   */
  async users({ after, to }: Range, upTo = Infinity): Promise<Set<number>> {
    while (this.#position < upTo) {
      const rows = await this.#reader.read<{
        kept_after: number | string;
        position: number | string | null;
        user_id: number | null;
      }>(
        `select kept_after, position, user_id from change_log left join changes on position > ?
         order by position limit ?`,
        [this.#position, PAGE_CHANGES],
      );
      if (Number(rows[0]?.kept_after) > this.#from) throw notKept();
      for (const { user_id: id } of rows)
        if (id !== null && id > this.#done && id <= this.#last) this.#ids.add(id);
      this.#position = Number(rows.at(-1)?.position ?? this.#position);
      if (rows.length < PAGE_CHANGES) break;
    }
    return new Set([...this.#ids].filter((id) => id > after && id <= to));
  }

  /** Up to this id nobody will be asked for any more. */
  forget(upTo: number): void {
    this.#done = upTo;
    for (const id of this.#ids) if (id <= upTo) this.#ids.delete(id);
  }
}

async function lastId(reader: Reader): Promise<number> {
  const [row] = await reader.read<{ users: number | null; changes: number | null }>(
    'select (select max(id) from users) as users, (select max(user_id) from changes) as changes',
    [],
  );
  return Math.max(row?.users ?? 0, row?.changes ?? 0);
}

/**
 * What these users were at a position, by the log, or after their next change when it does not know that any more; not
 * those who were not there, nor whoever was erased since.
 */
async function statesThen(reader: Reader, ids: ReadonlySet<number>, position: number): Promise<User[]> {
  if (ids.size === 0) return [];
  const rows = await reader.read<ChangeRow>(
    `select ${CHANGE_COLUMNS} from changes where ${isAmong(reader.dialect, 'user_id')} order by user_id, version`,
    [[...ids]],
  );
  const { keptAfter } = await readExtent(reader);
  if (keptAfter > position) throw notKept();
  const states = new Map<number, string | null>();
  const byUser = Map.groupBy(rows, ({ user_id: id }) => id);
  for (const id of ids) {
    const own = byUser.get(id) ?? [];
    const then = own.findLast((row) => Number(row.position) <= position);
    const next = own[0]?.type === 'user.created' ? undefined : own[0];
    states.set(id, (then ?? next)?.state ?? null);
  }
  return [...states.values()].flatMap((state) => (state === null ? [] : [readJson(state) as User]));
}

function notKept(): Error {
  return new Error('the log is not kept that far back');
}

function matches(user: User, { email, name, q }: UserFilter): boolean {
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
