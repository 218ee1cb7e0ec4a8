import { randomUUID } from 'node:crypto';
import { StartError, startError } from '../errors.ts';
import { anotherLives, examine } from './examine.ts';
import { type Guard, takeGuard } from './guard.ts';
import { Instance } from './instance.entity.ts';
import { migrateUp } from './migrations.ts';
import { createOrm, type Orm, type OrmSettings } from './orm.ts';
import { configureSqlite } from './sqlite.ts';
import { dialectOf, redactUrl, sqliteFile, sqlitePath } from './url.ts';

export interface Database {
  orm: Orm;
  close(): Promise<void>;
}

/** Opens a migrated database: what the service uses. */
export async function openMigratedDatabase(settings: OrmSettings): Promise<Database> {
  const dialect = dialectOf(settings.databaseUrl);
  if (dialect === 'postgresql') {
    const database = await openDatabase({ ...settings, unlimited: true, poolMax: 2 });
    await migrateUp(database.orm, dialect).finally(() => database.close());
    return openDatabase(settings);
  }
  const database = await openDatabase(settings);
  try {
    await migrateUp(database.orm, dialect);
    if (database.guard !== undefined) await recogniseInstance(database.orm, database.guard);
    return database;
  } catch (error) {
    await database.close();
    throw error;
  }
}

/** Opens a database as it is, migrated or not. On an SQLite file it also takes the guard. */
export async function openDatabase(settings: OrmSettings): Promise<Database & { guard: Guard | undefined }> {
  const file = sqliteFile(settings.databaseUrl);
  const guard = file === undefined ? undefined : await takeGuard(file);
  let orm: Orm | undefined;
  const close = async () => {
    await orm?.close(true);
    guard?.release();
  };
  try {
    if (guard !== undefined) await examine(guard);
    orm = await createOrm(settings);
    await connect(orm, settings.databaseUrl);
    return { orm, guard, close };
  } catch (error) {
    await close();
    throw error;
  }
}

async function connect(orm: Orm, databaseUrl: string): Promise<void> {
  try {
    if (dialectOf(databaseUrl) === 'sqlite') return await configureSqlite(orm, sqlitePath(databaseUrl));
    const [row] = await orm.em.getConnection().execute<{ server_encoding: string }[]>('show server_encoding');
    if (row?.server_encoding === 'UTF8') return;
    throw new StartError(
      `the database ${redactUrl(databaseUrl)} is in ${row?.server_encoding}, and cannot hold every character: ` +
        `make one with create database NAME template template0 encoding 'UTF8' locale 'C'`,
    );
  } catch (error) {
    if (error instanceof StartError) throw error;
    throw startError(`the database ${redactUrl(databaseUrl)} cannot be opened`, error);
  }
}

/** @throws {StartError} when the file holds another directory than the one that lived here */
async function recogniseInstance(orm: Orm, guard: Guard): Promise<void> {
  const em = orm.em.fork();
  let found = (await em.find(Instance, {}))[0]?.id;
  if (guard.instanceId !== undefined && guard.instanceId !== found) {
    throw anotherLives(guard.path, found, guard.instanceId);
  }
  if (found === undefined) {
    found = randomUUID();
    await em.insert(Instance, { id: found, createdAt: new Date() });
  }
  if (guard.instanceId === undefined) guard.remember(found);
}
