import { loadConfig } from './src/config.ts';
import { ormOptions } from './src/db/orm.ts';
import { entities } from './src/entities.ts';

/** For MikroORM's own command line (`MIKRO_ORM_CLI_PREFER_TS=1 npx mikro-orm debug`). The service itself reads `src/db`, migrations included. */
export default ormOptions({ databaseUrl: loadConfig().databaseUrl, entities });
