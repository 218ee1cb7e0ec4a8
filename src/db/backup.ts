import { existsSync } from 'node:fs';
import { link, open, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import Database from 'better-sqlite3';
import { StartError, startError } from '../errors.ts';
import { dialectOf, sqlitePath } from './url.ts';

/** Behind a service that writes without a pause. */
const PATIENCE_MS = 10_000;

/**
 * Copies the database to a new file, also while a service works on it: what was committed when it began, and nothing
 * else. `vacuum into` reads in one transaction, where SQLite's backup by pages begins anew whenever somebody has written;
 * and it takes no free pages along, in which there may be what was deleted. The file is there only when it is whole.
 * @throws {StartError} when it cannot be made, or there is such a file already
 */
export async function backupTo(databaseUrl: string, file: string): Promise<void> {
  if (dialectOf(databaseUrl) === 'postgresql') {
    throw new StartError(
      'PostgreSQL has its own tools: `pg_dump --format=custom --file=FILE` with the same URL; after restoring ' +
        'with pg_restore, run `npm run muster -- restored`',
    );
  }
  const path = sqlitePath(databaseUrl);
  if (path === ':memory:') throw new StartError('a database in memory cannot be copied by another process');
  if (existsSync(file)) throw new StartError(`${file} is there already: a backup overwrites nothing`);
  const part = `${file}.part`;
  try {
    await (await open(part, 'wx', 0o600)).close(); // names and addresses of people: for this user only
  } catch (error) {
    throw startError(`${part} cannot be made`, error);
  }
  try {
    copy(path, part);
    seal(part);
    await sync(part, 'r+');
    await link(part, file); // unlike a rename it overwrites nothing
  } catch (error) {
    throw startError(`${path} cannot be copied to ${file}`, error);
  } finally {
    for (const end of ['', '-journal', '-wal', '-shm']) await rm(`${part}${end}`, { force: true });
  }
  await sync(dirname(file), 'r');
}

function copy(path: string, part: string): void {
  const database = new Database(path, { readonly: true, fileMustExist: true, timeout: PATIENCE_MS });
  try {
    database.prepare('vacuum into ?').run(part);
  } finally {
    database.close();
  }
}

/** Whoever starts on the copy begins a new epoch of the log (`src/changes/epoch.ts`). */
function seal(part: string): void {
  const database = new Database(part);
  try {
    const verdict = database.pragma('integrity_check', { simple: true });
    if (verdict !== 'ok') throw new Error(`the copy is not whole: ${verdict}`);
    // Before the migration that brings it there is none, and after it none has a name.
    const columns = database.pragma('table_info(change_log)') as { name: string }[];
    if (columns.some(({ name }) => name === 'epoch')) database.exec(`update change_log set epoch = ''`);
  } finally {
    database.close();
  }
}

async function sync(path: string, flags: string): Promise<void> {
  const handle = await open(path, flags);
  await handle.sync().finally(() => handle.close());
}
