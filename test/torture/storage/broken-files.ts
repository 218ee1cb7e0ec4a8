import { rmSync } from 'node:fs';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { whyNoStart } from '../../../src/db/failures.ts';
import { StartError } from '../../../src/errors.ts';
import { checkAnswer } from '../../support/fetch.ts';
import type { Outcome } from '../fault.ts';
import { Random } from '../random.ts';
import { bytesOf, JOURNAL_SPOILED, SPOILED, UNUSABLE } from './damage.ts';
import { copyFiles, type Directory, openDirectory, said } from './directory.ts';
import type { Hosted } from './host.ts';
import { Ledger } from './ledger.ts';

const ROUNDS = 120;
const USERS = 120;

/** What plain SQLite reads from a file: by id, in order, and the positions of the log; `damaged` where it cannot. */
interface Plain {
  users: ReadonlyMap<number, string>;
  ids: string;
  positions: string;
}

/**
 * Spoils the files of a directory at random places, and starts on them. Either the start is refused, with one line and
 * without a byte changed. Or what is answered as right is what SQLite itself reads from the file when it is asked the
 * same: a damage that it notices is a 5xx, which readiness tells from then on, and nobody is missing whom it finds. What
 * is written is there after a restart.
 */
export async function brokenFiles({ setting, folder, part, parts }: Hosted): Promise<Outcome> {
  const random = new Random(setting.seed * 1000 + part);
  const { closed, killed, log } = await prepare(folder);
  const figures = { 'starts refused': 0, 'damage noticed later': 0, 'damage that nobody can notice': 0 };
  const broken: string[] = [];
  const rounds = Math.ceil((ROUNDS * setting.scale) / parts);
  for (let round = 0; round < rounds && broken.length < 10; round++) {
    const kind = random.weighted({ spoiled: 6, journal: 3, unusable: 2 });
    const path = copyFiles(kind === 'journal' ? killed : closed, join(folder, `${round}`));
    const ways = { spoiled: SPOILED, journal: JOURNAL_SPOILED, unusable: UNUSABLE }[kind];
    const how = random.pick(ways)?.(path, random) ?? '';
    said.length = 0;
    try {
      const { end, found } = await start(path, join(folder, 'plain'), kind === 'journal' ? log : undefined);
      figures[end]++;
      if (kind === 'unusable' && end !== 'starts refused') found.push('it was started on');
      broken.push(...found.map((what) => `${how}: ${what}`), ...(found.length > 0 ? said : []));
    } catch (error) {
      broken.push(`${how}: ${error instanceof Error ? error.stack : error}`);
    }
    rmSync(join(folder, `${round}`), { recursive: true, force: true });
  }
  return { rounds, figures, broken };
}

/** A directory that was closed, the same one killed while its journal held the second half, and its log. */
async function prepare(folder: string) {
  const directory = await openDirectory(join(folder, 'template', 'muster.db'));
  const ledger = new Ledger(directory.send);
  for (let at = 0; at < USERS; at++) {
    if (at === USERS / 2)
      await directory.app.orm.em.getConnection().execute('pragma wal_checkpoint(truncate)');
    await ledger.create(`u${at}@example.com`, { n: at, text: 'x'.repeat((at * 37) % 500) });
    if (at % 3 === 0) await ledger.patch(`u${at}@example.com`, { n: -1 });
  }
  const killed = copyFiles(directory.path, join(folder, 'killed'));
  await directory.close();
  return { closed: directory.path, killed, log: readPlain(directory.path, join(folder, 'plain')).positions };
}

async function start(path: string, folder: string, log: string | undefined) {
  const found: string[] = [];
  const before = bytesOf(path);
  const plain = readPlain(path, folder);
  if (log !== undefined && !log.startsWith(plain.positions))
    found.push('the log is not the beginning of what it was');
  const directory = await openDirectory(path).catch((error) => {
    if (!(error instanceof StartError) && whyNoStart(error) === undefined)
      found.push(`no clear word: ${error instanceof Error ? error.stack : error}`);
    const after = bytesOf(path);
    // A journal that SQLite accepts may be written back.
    if (log === undefined && !(before === undefined ? after === undefined : after?.equals(before)))
      found.push('the start was refused, and has changed the file');
  });
  if (directory === undefined) return { end: 'starts refused', found } as const;
  let isNoticed = false;
  let id: number | undefined;
  try {
    const asked = await ask(directory, plain);
    found.push(...asked.found);
    isNoticed = asked.isNoticed;
    id = asked.id;
    if (isNoticed) found.push(...(await notReady(directory)));
  } finally {
    await directory.close();
  }
  if (id !== undefined) found.push(...(await isKept(path, id)));
  return { end: isNoticed ? 'damage noticed later' : 'damage that nobody can notice', found } as const;
}

/** Asks for everything, and writes. */
async function ask(directory: Directory, plain: Plain) {
  const found: string[] = [];
  let isNoticed = false;
  const get = async (method: 'GET' | 'POST', url: string, payload?: object) => {
    const { statusCode, headers, body } = await directory.app.inject({
      method,
      url,
      ...(payload && { payload }),
    });
    // A spoiled value is given as it is, and may be against the document.
    if (statusCode >= 400) checkAnswer({ method, url, statusCode, headers, body });
    isNoticed ||= statusCode >= 500;
    return { status: statusCode, text: body };
  };
  for (let id = 1; id <= USERS; id++) {
    const { status, text } = await get('GET', `/users/${id}`);
    const expected = plain.users.get(id) ?? 'none';
    const seen = status === 404 ? 'none' : status === 200 ? gist(text) : 'damaged';
    if (seen !== expected && seen !== 'damaged' && seen !== 'unreadable')
      found.push(`user ${id} is ${seen}, and SQLite reads ${expected}`);
  }
  const lists: [string, string, RegExp][] = [
    ['/users?limit=1000', plain.ids, /\{"id":(\d+),/g],
    ['/changes?after=0&limit=1000', plain.positions, /\{"position":(\d+),/g],
  ];
  for (const [url, expected, pattern] of lists) {
    const { status, text } = await get('GET', url);
    const seen = [...text.matchAll(pattern)].map(([, one]) => `${one} `).join('');
    if (status === 200 && expected !== seen) found.push(`${url} gives ${seen}, and SQLite reads ${expected}`);
  }
  const made = await get('POST', '/users', { name: 'New', email: 'new@example.com' });
  const id = made.status === 201 ? (JSON.parse(made.text).id as number) : undefined;
  return { found, isNoticed, id };
}

async function notReady({ app }: Directory): Promise<string[]> {
  await new Promise((resolve) => setTimeout(resolve, 0));
  const { statusCode, body } = await app.inject({ method: 'GET', url: '/health/ready' });
  return statusCode === 503 && body.includes('its file is damaged')
    ? []
    : [`damage was met, and ready: ${body}`];
}

/** What was acknowledged is there after a restart; or that is refused, or the place is seen to be damaged. */
async function isKept(path: string, id: number): Promise<string[]> {
  const directory = await openDirectory(path).catch(() => undefined);
  if (directory === undefined) return [];
  const { statusCode, body } = await directory.app.inject({ method: 'GET', url: `/users/${id}` });
  await directory.close();
  return statusCode >= 500 || body.includes('"new@example.com"') ? [] : [`what was acknowledged is ${body}`];
}

function readPlain(path: string, folder: string): Plain {
  rmSync(folder, { recursive: true, force: true });
  try {
    return readFile(copyFiles(path, folder));
  } catch {
    return { users: new Map(), ids: 'damaged', positions: 'damaged' };
  }
}

function readFile(path: string): Plain {
  const database = new Database(path, { fileMustExist: true });
  try {
    const user = database.prepare<[number], { email: string; version: number }>(
      'select email, version from users where id = ?',
    );
    const column = (sql: string) => {
      const rows = attempt(() => database.prepare<[], number>(sql).pluck().all());
      return rows === undefined ? 'damaged' : rows.map((one) => `${one} `).join('');
    };
    const users = new Map<number, string>();
    for (let id = 1; id <= USERS; id++) {
      const row = attempt(() => user.get(id) ?? 'none');
      if (row !== 'none') users.set(id, row === undefined ? 'damaged' : `${row.email} ${row.version}`);
    }
    return {
      users,
      ids: column('select id from users order by id'),
      positions: column(
        'select position from changes where position > 0 and position <= (select max(position) from changes) order by position',
      ),
    };
  } finally {
    database.close();
  }
}

function gist(text: string): string {
  const user = attempt(() => JSON.parse(text) as { email: string; version: number });
  return user === undefined ? 'unreadable' : `${user.email} ${user.version}`;
}

function attempt<T>(work: () => T): T | undefined {
  try {
    return work();
  } catch {
    return undefined;
  }
}
