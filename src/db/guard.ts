import { mkdir, realpath, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import Database from 'better-sqlite3';
import { StartError } from '../errors.ts';

/**
 * The small file `<database>-guard` beside an SQLite database. It does two things that the database cannot do for
 * itself:
 *
 * - **One process.** It stays locked for as long as the process lives (the kernel frees it after a `kill -9`), so a
 *   second service on the same file is refused, while backups and `sqlite3` may still read the database.
 * - **The same directory.** It remembers which directory lives here. SQLite opens a missing or emptied file as an
 *   empty database; without this a lost disk would look like a service that has forgotten everybody.
 */
export interface Guard {
  /** The directory that lived here before, if any. */
  readonly instanceId: string | undefined;
  remember(instanceId: string): void;
  release(): void;
}

/** @throws {StartError} when another process holds the file, or when a directory that lived here is gone */
export async function takeGuard(path: string): Promise<Guard> {
  const guardPath = await guardOf(path);
  const database = openGuard(path, guardPath);
  try {
    database.pragma('locking_mode = exclusive');
    database.pragma('synchronous = full');
    database.exec('begin exclusive; create table if not exists instance (id text not null); commit');
    const row = database.prepare<[], { id: string }>('select id from instance').get();
    const size = (await stat(path).catch(() => undefined))?.size ?? 0;
    if (row !== undefined && size === 0) {
      throw new StartError(
        `${path} is missing or empty, but directory ${row.id} lived there: restore it, or delete ${guardPath} to begin anew`,
      );
    }
    return {
      instanceId: row?.id,
      remember: (id) => void database.prepare('insert into instance (id) values (?)').run(id),
      release: () => database.close(),
    };
  } catch (error) {
    database.close();
    if (isLocked(error)) throw new StartError(`${path} is in use by another process: only one may serve it`);
    return error instanceof StartError ? Promise.reject(error) : refuse(path)(error);
  }
}

/**
 * Beside the file itself: through a symbolic link it would be another one. Through a hard link it is, and so is the
 * journal: two services would each lose what the other writes.
 */
async function guardOf(path: string): Promise<string> {
  // Names and addresses of people: the folder is for this user only.
  await mkdir(dirname(path), { recursive: true, mode: 0o700 }).catch(refuse(path));
  const real = await realpath(path).catch(() => path);
  const there = await stat(real).catch(() => undefined);
  if (there?.isDirectory()) refuse(path)(new Error('it is a folder'));
  if (there?.isFile() && there.nlink > 1) {
    throw new StartError(
      `${path} has another name (a hard link), by which it could be served at the same time: remove that, or serve a copy`,
    );
  }
  return `${real}-guard`;
}

function openGuard(path: string, guardPath: string): Database.Database {
  try {
    return new Database(guardPath, { timeout: 0 });
  } catch (error) {
    return refuse(path)(error);
  }
}

function refuse(path: string) {
  return (error: unknown): never => {
    const why = error instanceof Error ? error.message : String(error);
    throw new StartError(`${path} cannot be used: ${why}`, { cause: error });
  };
}

function isLocked(error: unknown): boolean {
  return error instanceof Database.SqliteError && error.code.startsWith('SQLITE_BUSY');
}
