import type { DataSource, DataSourceOptions } from 'typeorm';
import { environment, requireDurable, SQLITE_PRAGMAS } from '../environment.ts';
import { ChangeSchema, UserSchema } from './user.entity.ts';

interface Pragmas {
  pragma(sql: string): unknown;
}

export const dataSourceOptions: DataSourceOptions =
  environment.dialect === 'sqlite'
    ? {
        type: 'better-sqlite3',
        database: environment.sqlitePath,
        entities: [UserSchema, ChangeSchema],
        prepareDatabase(database: Pragmas) {
          for (const pragma of SQLITE_PRAGMAS) database.pragma(pragma);
        },
      }
    : { type: 'postgres', url: environment.databaseUrl, entities: [UserSchema, ChangeSchema] };

export async function checkDurable(dataSource: DataSource): Promise<void> {
  if (environment.dialect !== 'sqlite') return;
  const [journal] = await dataSource.query('pragma journal_mode');
  const [synchronous] = await dataSource.query('pragma synchronous');
  requireDurable(journal.journal_mode, synchronous.synchronous);
}
