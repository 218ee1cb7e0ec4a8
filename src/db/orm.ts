import type { AnyEntity, Configuration, EntityClass, Options } from '@mikro-orm/core';
import { type AbstractSqlDriver, type SqlEntityManager, SqlMikroORM } from '@mikro-orm/sql';
import type { FastifyBaseLogger } from 'fastify';
import { SqliteDialect } from './sqlite-dialect.ts';
import { type DialectName, dialectOf, sqlitePath } from './url.ts';

export type Orm = SqlMikroORM;
type SqlOptions = Partial<Options<AbstractSqlDriver, SqlEntityManager<AbstractSqlDriver>>>;

export interface OrmSettings {
  /** `sqlite:PATH`, `sqlite::memory:` or `postgresql://…` */
  databaseUrl: string;
  entities: EntityClass<AnyEntity>[];
  /** PostgreSQL connections at most; SQLite always has one. */
  poolMax?: number;
  /** No time limits: a migration may rightly run longer than any request. */
  unlimited?: boolean;
  logger?: Pick<FastifyBaseLogger, 'warn'>;
}

export function ormOptions(settings: OrmSettings): SqlOptions {
  const dialect = dialectOf(settings.databaseUrl);
  return {
    entities: settings.entities,
    // Warnings only: queries hold personal values, and MikroORM would print to the console.
    logger: (message) => settings.logger?.warn(message),
    colors: false,
    ignoreDeprecations: true,
    ensureDatabase: false, // a wrong name must not make a new, empty directory
    migrations: {
      tableName: 'migrations',
      snapshot: false,
      silent: true,
      fileName: (_timestamp, name) => name ?? 'unnamed',
    },
    // FTS5 tables and their triggers stand beside the entities, in SQLite's migrations.
    schemaGenerator: { skipTables: [/_search/], ignoreTriggers: true },
    discovery: {
      // An index with an expression is PostgreSQL's. Which columns of an index descend, MikroORM cannot read from SQLite, and
      // would make such an index anew for ever: there it stands in the migration alone.
      onMetadata(meta) {
        if (dialect !== 'sqlite') return;
        meta.indexes = meta.indexes.filter((index) => index.expression === undefined);
        for (const index of meta.indexes) delete index.columns;
      },
    },
    ...(dialect === 'sqlite' ? sqliteOptions(settings) : postgresqlOptions(settings)),
  };
}

function sqliteOptions({ databaseUrl }: OrmSettings): SqlOptions {
  const dbName = sqlitePath(databaseUrl);
  const dialect = new SqliteDialect(dbName);
  return { dbName, driverOptions: () => dialect };
}

/** The driver of the other database is never loaded. */
export async function createOrm(settings: OrmSettings): Promise<Orm> {
  const driver = await loadDriver(dialectOf(settings.databaseUrl));
  return new SqlMikroORM({ ...ormOptions(settings), driver });
}

type DriverClass = new (config: Configuration) => AbstractSqlDriver;

async function loadDriver(dialect: DialectName): Promise<DriverClass> {
  if (dialect === 'sqlite') return (await import('@mikro-orm/sqlite')).SqliteDriver;
  return (await import('@mikro-orm/postgresql')).PostgreSqlDriver;
}

/**
 * Without these limits a dead socket waits for ever, and a stalled replica keeps its locks: a statement may take 15 s,
 * a lock 5 s, a transaction may idle 10 s, a connection must stand within 2 s.
 */
function postgresqlOptions({ databaseUrl, poolMax = 10, unlimited = false }: OrmSettings): SqlOptions {
  const limits = unlimited
    ? {}
    : {
        query_timeout: 20_000,
        statement_timeout: 15_000,
        lock_timeout: 5_000,
        idle_in_transaction_session_timeout: 10_000,
      };
  return {
    clientUrl: databaseUrl, // MikroORM reads host, user and name from it; `pg` itself all the rest, such as sslmode
    pool: { min: 0, max: poolMax },
    driverOptions: {
      connectionString: databaseUrl,
      connectionTimeoutMillis: 2000,
      keepAlive: true,
      application_name: 'muster',
      // Times are read as ISO 8601, whatever the server's or the role's own settings say.
      options: '-c DateStyle=ISO -c TimeZone=UTC',
      ...limits,
    },
  };
}
