import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { TSMigrationGenerator } from '@mikro-orm/migrations';
import { loadConfig } from '../src/config.ts';
import { openDatabase } from '../src/db/database.ts';
import { loadMigrator, migrateDown, migrateUp, migrationsFolder } from '../src/db/migrations.ts';
import { type DialectName, dialectOf } from '../src/db/url.ts';
import { entities } from '../src/entities.ts';
import { StartError } from '../src/errors.ts';

const usage = `npm run migrate -- up|down|status|create NAME
  up            run what is pending in DATABASE_URL
  down          take back the last migration
  status        list the migrations and whether each has run
  create NAME   write migrations/sqlite/NAME.ts and migrations/postgresql/NAME.ts from what the entities say`;

async function main(): Promise<void> {
  if (command === 'create' && name !== undefined) return create(name);
  if (command !== 'up' && command !== 'down' && command !== 'status') throw new StartError(usage);
  const { databaseUrl } = loadConfig();
  const dialect = dialectOf(databaseUrl);
  const database = await openDatabase({ databaseUrl, entities, unlimited: true });
  try {
    if (command === 'up') console.log((await migrateUp(database.orm, dialect)).join('\n') || 'nothing to do');
    if (command === 'down') console.log((await migrateDown(database.orm, dialect)) ?? 'nothing to take back');
    if (command === 'status') {
      const migrator = await loadMigrator(database.orm, dialect);
      const pending = new Set((await migrator.getPending()).map((migration) => migration.name));
      const executed = (await migrator.getExecuted()).map((migration) => migration.name);
      for (const done of executed) console.log(`done     ${done}`);
      for (const waiting of pending) console.log(`pending  ${waiting}`);
    }
  } finally {
    await database.close();
  }
}

/** Compares the entities with a fresh database of each kind that has every migration so far. */
async function create(migration: string): Promise<void> {
  if (!/^\d{4}_[a-z0-9_]+$/.test(migration))
    throw new StartError(`${migration}: a name is like 0004_webhooks`);
  const folder = await mkdtemp(join(tmpdir(), 'muster-migration-'));
  // Only here, and only for developers: the service itself never starts a database.
  const { startPostgres } = await import('../test/support/postgres.ts');
  const postgres = await startPostgres();
  try {
    await createFor('sqlite', `sqlite:${join(folder, 'fresh.db')}`, migration);
    await createFor('postgresql', postgres.url('postgres'), migration);
  } finally {
    await postgres.stop();
    await rm(folder, { recursive: true });
  }
}

async function createFor(dialect: DialectName, databaseUrl: string, migration: string): Promise<void> {
  const database = await openDatabase({ databaseUrl, entities, unlimited: true });
  try {
    await migrateUp(database.orm, dialect);
    database.orm.config.get('migrations').generator = MigrationFile;
    const folder = fileURLToPath(migrationsFolder(dialect));
    const migrator = await loadMigrator(database.orm, dialect);
    const { fileName } = await migrator.create(folder, false, false, migration);
    console.log(
      fileName === '' ? `${dialect}: the entities ask for nothing new` : `${dialect}: wrote ${fileName}`,
    );
  } finally {
    await database.close();
  }
}

/** One class, the default export; the file's name is the migration's. */
class MigrationFile extends TSMigrationGenerator {
  override generateMigrationFile(_className: string, diff: { up: string[]; down: string[] }): string {
    const body = (statements: string[]) => statements.map((sql) => this.createStatement(sql, 4)).join('');
    return [
      `import { Migration } from '@mikro-orm/migrations';\n`,
      `export default class extends Migration {\n  override up(): void {\n${body(diff.up)}  }\n`,
      `  override down(): void {\n${body(diff.down)}  }\n}\n`,
    ].join('\n');
  }
}

const [command, name] = process.argv.slice(2);
try {
  await main();
} catch (error) {
  if (!(error instanceof StartError)) throw error;
  console.error(error.message);
  process.exitCode = 1;
}
