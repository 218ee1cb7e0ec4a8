import { statSync } from 'node:fs';
import Database from 'better-sqlite3';
import { StartError } from '../errors.ts';
import { dialectOf, sqlitePath } from './url.ts';

/**
 * Reads every page of an SQLite database, also while a service works on it, and compares each index with its table.
 * @throws {StartError} when there is none, or with the first things that are wrong
 */
export function checkDatabase(databaseUrl: string): void {
  if (dialectOf(databaseUrl) === 'postgresql') {
    throw new StartError('PostgreSQL has its own tools: pg_amcheck, and checksums of its pages');
  }
  const path = sqlitePath(databaseUrl);
  if (path === ':memory:') throw new StartError('a database in memory cannot be read by another process');
  const there = statSync(path, { throwIfNoEntry: false });
  if (!there?.isFile() || there.size === 0) throw new StartError(`there is no database at ${path}`);
  let found: string[];
  try {
    found = integrityOf(path);
  } catch (error) {
    found = [error instanceof Error ? error.message : String(error)];
  }
  if (found.length > 0) throw new StartError(`${path} is damaged: ${found.join('; ')}`);
}

function integrityOf(path: string): string[] {
  const database = new Database(path, { readonly: true, fileMustExist: true });
  try {
    const rows = database.prepare<[], string>('pragma integrity_check(10)').pluck().all();
    return rows.filter((verdict) => verdict !== 'ok').map((verdict) => verdict.replaceAll(/\s+/g, ' ')); // in one line
  } finally {
    database.close();
  }
}
