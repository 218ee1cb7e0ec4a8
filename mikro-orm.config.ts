import { Migrator } from '@mikro-orm/migrations';
import { loadConfig } from './src/config.ts';
import { listMigrations } from './src/db/migrations.ts';
import { ormOptions } from './src/db/orm.ts';
import { dialectOf } from './src/db/url.ts';
import { entities } from './src/entities.ts';

/** For MikroORM's own command line (`MIKRO_ORM_CLI_PREFER_TS=1 npx mikro-orm debug`). The service itself reads `src/db`, migrations included. */
const { databaseUrl } = loadConfig();
const options = ormOptions({ databaseUrl, entities });

export default {
  ...options,
  extensions: [Migrator],
  migrations: { ...options.migrations, migrationsList: await listMigrations(dialectOf(databaseUrl)) },
};
