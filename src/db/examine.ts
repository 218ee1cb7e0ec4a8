import Database from 'better-sqlite3';
import { StartError, startError } from '../errors.ts';
import { sizeOf } from './files.ts';
import type { Guard } from './guard.ts';

/**
 * Looks at an SQLite file, for reading only, before it is opened: one that is not to be used stays as it is. Opened for
 * writing, its journal would be written back, its header changed, and another program's database migrated.
 * @throws {StartError} when it is another program's, or holds another directory than the one that lived there
 */
export async function examine({ path, instanceId: lived }: Guard): Promise<void> {
  if ((await sizeOf(path)) === 0) return; // there is none yet
  let database: Database.Database | undefined;
  try {
    database = new Database(path, { readonly: true, timeout: 100 });
    const tables = database
      .prepare<[], string>(`select name from sqlite_schema where type = 'table'`)
      .pluck()
      .all();
    if (tables.length > 0 && !tables.includes('migrations'))
      throw new StartError(`${path} is the database of another program: it is left as it is`);
    const found = tables.includes('instance')
      ? database.prepare<[], string>('select id from instance').pluck().get()
      : undefined;
    if (lived !== undefined && lived !== found) throw anotherLives(path, found, lived);
  } catch (error) {
    if (mayBeMended(error)) return;
    throw error instanceof StartError
      ? error
      : startError(`the database sqlite:${path} cannot be opened`, error);
  } finally {
    database?.close();
  }
}

export function anotherLives(path: string, found: string | undefined, lived: string): StartError {
  return new StartError(
    `${path} holds directory ${found ?? 'none'}, but ${lived} lived there: ` +
      `if you put it there on purpose, delete ${path}-guard`,
  );
}

/** A transaction that a crash cut short is first undone, which only a writer may do. */
function mayBeMended(error: unknown): boolean {
  return error instanceof Database.SqliteError && error.code.startsWith('SQLITE_READONLY');
}
