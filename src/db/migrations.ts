import { readdir } from 'node:fs/promises';
import { type Constructor, TableNotFoundException } from '@mikro-orm/core';
import type { Migration, Migrator } from '@mikro-orm/migrations';
import { StartError } from '../errors.ts';
import type { Orm } from './orm.ts';
import { withPostgresqlLock } from './postgresql.ts';
import { withoutForeignKeys } from './sqlite.ts';
import type { DialectName } from './url.ts';

export function migrationsFolder(dialect: DialectName): URL {
  return new URL(`../../migrations/${dialect}/`, import.meta.url);
}

/** The names of a dialect's migrations, in order. */
export async function migrationNames(dialect: DialectName): Promise<string[]> {
  const files = await readdir(migrationsFolder(dialect));
  return files.flatMap((file) => (file.endsWith('.ts') ? [file.slice(0, -'.ts'.length)] : [])).sort();
}

/** The migrations of a dialect, in order of their names: one class, the default export, in each file. */
export async function listMigrations(dialect: DialectName) {
  const names = await migrationNames(dialect);
  return Promise.all(
    names.map(async (name) => {
      const file = new URL(`${name}.ts`, migrationsFolder(dialect));
      const module: { default: Constructor<Migration> } = await import(file.href);
      return { name, class: module.default };
    }),
  );
}

/** Loaded only where there is something to do: with the migrations it cost each start 15 ms. */
export async function loadMigrator(orm: Orm, dialect: DialectName): Promise<Migrator> {
  const { Migrator } = await import('@mikro-orm/migrations');
  orm.config.get('migrations').migrationsList = await listMigrations(dialect);
  return new Migrator(orm.em);
}

/**
 * Brings the database up to date and says which migrations ran. Of any number of replicas that start at once on
 * PostgreSQL exactly one migrates; the others wait for it and then find nothing to do.
 * @throws {StartError} when a newer Muster has migrated this database: going on could damage what it wrote
 */
export async function migrateUp(orm: Orm, dialect: DialectName): Promise<string[]> {
  if (!(await isPending(orm, dialect))) return [];
  return exclusively(orm, dialect, async () => {
    if (!(await isPending(orm, dialect))) return [];
    const migrator = await loadMigrator(orm, dialect);
    return (await migrator.up()).map(({ name }) => name);
  });
}

async function isPending(orm: Orm, dialect: DialectName): Promise<boolean> {
  const [known, executed] = [await migrationNames(dialect), await executedMigrations(orm)];
  const unknown = executed.filter((name) => !known.includes(name));
  if (unknown.length > 0) {
    throw new StartError(
      `the database was migrated by a newer Muster (${unknown.join(', ')}): start that version`,
    );
  }
  return known.length > executed.length;
}

async function executedMigrations(orm: Orm): Promise<string[]> {
  try {
    const rows = await orm.em.fork().execute<{ name: string }[]>('select name from migrations order by id');
    return rows.map(({ name }) => name);
  } catch (error) {
    if (error instanceof TableNotFoundException) return []; // a new database
    throw error;
  }
}

/** Takes back the last migration and says its name, or undefined when there is none. */
export async function migrateDown(orm: Orm, dialect: DialectName): Promise<string | undefined> {
  return exclusively(orm, dialect, async () => {
    const migrator = await loadMigrator(orm, dialect);
    return (await migrator.down())[0]?.name;
  });
}

function exclusively<T>(orm: Orm, dialect: DialectName, work: () => Promise<T>): Promise<T> {
  return dialect === 'sqlite' ? withoutForeignKeys(orm, work) : withPostgresqlLock(orm, work);
}
