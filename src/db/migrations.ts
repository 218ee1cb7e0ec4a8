import { readdir } from 'node:fs/promises';
import type { Constructor } from '@mikro-orm/core';
import type { Migration } from '@mikro-orm/migrations';
import { StartError } from '../errors.ts';
import type { Orm } from './orm.ts';
import { withPostgresqlLock } from './postgresql.ts';
import { withoutForeignKeys } from './sqlite.ts';
import type { DialectName } from './url.ts';

export function migrationsFolder(dialect: DialectName): URL {
  return new URL(`../../migrations/${dialect}/`, import.meta.url);
}

/** The migrations of a dialect, in order of their names: one class, the default export, in each file. */
export async function listMigrations(dialect: DialectName) {
  const folder = migrationsFolder(dialect);
  const files = (await readdir(folder)).filter((file) => file.endsWith('.ts')).sort();
  return Promise.all(
    files.map(async (file) => {
      const module: { default: Constructor<Migration> } = await import(new URL(file, folder).href);
      return { name: file.slice(0, -'.ts'.length), class: module.default };
    }),
  );
}

/**
 * Brings the database up to date and says which migrations ran. Of any number of replicas that start at once on
 * PostgreSQL exactly one migrates; the others wait for it and then find nothing to do.
 * @throws {StartError} when a newer Muster has migrated this database: going on could damage what it wrote
 */
export async function migrateUp(orm: Orm, dialect: DialectName): Promise<string[]> {
  return exclusively(orm, dialect, async () => {
    const known = new Set((await listMigrations(dialect)).map(({ name }) => name));
    const unknown = (await orm.migrator.getExecuted()).filter(({ name }) => !known.has(name));
    if (unknown.length > 0) {
      const names = unknown.map(({ name }) => name).join(', ');
      throw new StartError(`the database was migrated by a newer Muster (${names}): start that version`);
    }
    return (await orm.migrator.up()).map(({ name }) => name);
  });
}

/** Takes back the last migration and says its name, or undefined when there is none. */
export async function migrateDown(orm: Orm, dialect: DialectName): Promise<string | undefined> {
  return exclusively(orm, dialect, async () => (await orm.migrator.down())[0]?.name);
}

function exclusively<T>(orm: Orm, dialect: DialectName, work: () => Promise<T>): Promise<T> {
  return dialect === 'sqlite' ? withoutForeignKeys(orm, work) : withPostgresqlLock(orm, work);
}
