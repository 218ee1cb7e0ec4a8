import { isDeepStrictEqual } from 'node:util';
import { parse } from 'csv-parse/sync';
import { readJson } from '../../src/db/json.ts';
import type { User } from '../../src/users/users.schemas.ts';
import type { Change } from '../support/log.ts';
import type { Answer } from './memory.ts';
import type { Model } from './model.ts';
import { sortUsers, userAt } from './readings.ts';

type Get = (url: string) => Promise<Answer>;

const SORTS = ['id', 'name', 'email', 'createdAt'].flatMap((one) => [one, `-${one}`]);
/** Of so many users their whole past is read. */
const LOOKED_INTO = 5;

/**
 * At the end of a world: every list from its first page to its last, the exports, and what some users were.
 * @throws {Error} when any is not as the model has it
 */
export async function walkAll({ users, log }: Model, table: readonly User[], get: Get): Promise<void> {
  const same = (what: string, read: unknown, known: unknown) => {
    if (isDeepStrictEqual(read, known)) return;
    const [found, wanted] = [read, known].map((one) => String(JSON.stringify(one)).slice(0, 2000));
    throw new Error(`${what} is ${found}\n  not ${wanted}`);
  };
  for (const sort of SORTS)
    same(
      `the list by ${sort}`,
      await walk<User>(get, `/users?sort=${sort}&limit=17`),
      sortUsers([...table], sort),
    );
  const ndjson = (await get('/users/export')).text;
  same('the export', linesOf(ndjson), table);
  const csv = (await get('/users/export?format=csv&raw=true')).text;
  const rows = parse(csv, { columns: true }) as Record<string, string>[];
  same(
    'the export as CSV',
    rows.map(({ id, name, email, attributes = '' }) => [Number(id), name, email, readJson(attributes)]),
    table.map(({ id, name, email, attributes }) => [id, name, email, attributes]),
  );
  const ids = [...new Set(log.map(({ userId }) => userId))];
  for (const id of ids.slice(-LOOKED_INTO)) {
    const own = log.filter(({ userId }) => userId === id);
    same(`the history of ${id}`, await walk<Change>(get, `/users/${id}/history?limit=2`), own.toReversed());
    for (const { position } of own) {
      const { status, text } = await get(`/users/${id}?at=${position}`);
      same(
        `user ${id} at ${position}`,
        status === 200 ? readJson(text) : undefined,
        userAt(log, id, position),
      );
    }
    const user = users.get(id);
    if (user === undefined) continue;
    for (const filter of ['name', 'email'] as const) {
      const found = await walk<User>(get, `/users?${filter}=${encodeURIComponent(user[filter])}&limit=1`);
      same(
        `who is found by ${filter}`,
        found.find((one) => one.id === id),
        user,
      );
    }
  }
}

async function walk<T>(get: Get, first: string): Promise<T[]> {
  const all: T[] = [];
  for (let url: string | undefined = first; url !== undefined; ) {
    const page: Answer = await get(url);
    all.push(...(readJson(page.text) as T[]));
    url = /^<(.+)>/.exec(page.headers.link ?? '')?.[1];
  }
  return all;
}

function linesOf(ndjson: string): unknown[] {
  return ndjson
    .split('\n')
    .slice(0, -1)
    .map((line) => readJson(line));
}
