import { isDeepStrictEqual } from 'node:util';
import { readJson } from '../../src/db/json.ts';
import { emailKey, nameKey, searchKey, searchTerm } from '../../src/users/keys.ts';
import type { User } from '../../src/users/users.schemas.ts';
import type { Change } from '../support/log.ts';
import type { Verdict } from './judge.ts';
import type { Answer } from './memory.ts';
import type { Model } from './model.ts';

type Reading = (model: Model, verdict: Verdict, read: never, answer: Answer) => unknown;

/** Where the model knows what is to be read: the same, or undefined when it does not know. */
const READINGS: Record<string, Reading> = {
  getUser({ users, log }, { path, query: { at } }) {
    const id = Number(path.id);
    if (at === undefined) return users.get(id);
    return /^\d{1,15}$/.test(String(at)) ? userAt(log, id, Number(at)) : undefined;
  },
  tutorialGetUser({ users }, { path }) {
    const { id, name, email } = users.get(Number(path.id)) ?? { id: 0, name: '', email: '' };
    return { id, name, email };
  },
  listUsers: pageOfUsers,
  listUserHistory({ log }, { path, query: { limit = 100, after } }) {
    if (after !== undefined) return undefined;
    const own = log.filter((one) => one.userId === Number(path.id)).reverse();
    return own.slice(0, Number(limit));
  },
  listChanges(model, { query: { after = 0, limit = 100, types } }, read: Change[], { headers }) {
    // Up to where it has looked is its own affair; of those places it leaves out none.
    const upTo = Number(headers['muster-position']);
    const wanted = typeof types === 'string' ? types.split(',') : undefined;
    const fit = model.log.filter(
      ({ position, type }) =>
        position > Number(after) && position <= upTo && (wanted?.includes(type) ?? true),
    );
    if (headers.link === undefined && types === undefined && upTo !== Math.max(model.head, Number(after)))
      throw new Error(`the last page ends at ${upTo}, the log at ${model.head}`);
    if (fit.length > Number(limit)) throw new Error(`${read.length} changes, of ${fit.length} up to ${upTo}`);
    return fit;
  },
};

/** @throws {Error} when a page or a user is not as the model has it */
export function checkReading(model: Model, verdict: Verdict, answer: Answer): void {
  const reading = READINGS[verdict.operation?.id ?? ''];
  if (reading === undefined || !model.isSure || verdict.valid !== 'yes') return;
  const read = readJson(answer.text);
  const known = reading(model, verdict, read as never, answer);
  if (known !== undefined) model.held.read++;
  if (known === undefined || isDeepStrictEqual(read, known)) return;
  throw new Error(`what is read is not ${JSON.stringify(known).slice(0, 2000)}`);
}

function pageOfUsers(
  model: Model,
  { query }: Verdict,
  read: User[],
  { headers }: Answer,
): User[] | undefined {
  const { sort = 'id', limit = 100, after, email, name, q } = query as Record<string, string | undefined>;
  if (after !== undefined) {
    for (const user of read) {
      if (!isDeepStrictEqual(user, model.users.get(user.id)))
        throw new Error(`user ${user.id} is not as known`);
    }
    return undefined;
  }
  const found = [...model.users.values()].filter(
    (user) =>
      (email === undefined || emailKey(user.email) === emailKey(email)) &&
      (name === undefined || nameKey(user.name) === nameKey(name)) &&
      (q === undefined || searchKey(user.name, user.email).includes(searchTerm(q))),
  );
  sortUsers(found, sort);
  const hasMore = found.length > Number(limit);
  if (hasMore !== (headers.link !== undefined))
    throw new Error(`a link is ${hasMore ? 'missing' : 'too much'}`);
  return found.slice(0, Number(limit));
}

/** What somebody was at a position; undefined: not there. */
export function userAt(log: readonly Change[], id: number, position: number): User | undefined {
  return log.findLast((one) => one.userId === id && one.position <= position)?.user ?? undefined;
}

export function sortUsers(users: User[], sort: string): User[] {
  const keyOf = KEYS[sort.replace('-', '')];
  if (keyOf === undefined) throw new Error(`no sort by ${sort}`);
  users.sort((a, b) => compare(keyOf(a), keyOf(b)) || a.id - b.id);
  return sort.startsWith('-') ? users.reverse() : users;
}

const KEYS: Record<string, (user: User) => string | number> = {
  id: ({ id }) => id,
  name: ({ name }) => nameKey(name),
  email: ({ email }) => emailKey(email),
  createdAt: ({ createdAt }) => createdAt,
};

/** By code point: a plain `<` goes by UTF-16, where an astral character comes before U+FFFF. */
function compare(a: string | number, b: string | number): number {
  if (typeof a === 'number' || typeof b === 'number') return Number(a) - Number(b);
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}
