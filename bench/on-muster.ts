import { postgresTemplate, startDurablePostgres } from './database/postgresql.ts';
import { sqliteTemplate } from './database/sqlite.ts';
import { shareMachine, takeMachine } from './machine/cores.ts';
import { type ServerProcess, startServer } from './machine/server-process.ts';
import type { DatabaseName, Options } from './options.ts';
import { MUSTER, SERVERS } from './servers.ts';

/** Starts Muster alone on each database of each size that `options` names, and measures it: alone on its core, or sharing both with all else. */
export async function onMuster(
  options: Options,
  measure: (started: ServerProcess, database: DatabaseName, users: number) => Promise<void>,
  { env = {}, shares = false }: { env?: Record<string, string>; shares?: boolean } = {},
): Promise<void> {
  if (shares) shareMachine();
  else takeMachine();
  const server = SERVERS.find(({ name }) => name === MUSTER);
  if (server === undefined) throw new Error('no server to measure');
  const postgres = options.databases.includes('postgresql') ? await startDurablePostgres() : undefined;
  try {
    for (const users of options.users) {
      for (const database of options.databases) {
        const template =
          database === 'sqlite' || postgres === undefined
            ? await sqliteTemplate(users)
            : await postgresTemplate(postgres, users);
        const copy = await template.copy('alone');
        const all = { ...server.env, ...env, DATABASE_URL: copy.url };
        const started = await startServer(server.command, all, server);
        try {
          await measure(started, database, users);
        } finally {
          await started.stop();
          await copy.remove();
          await template.remove();
        }
      }
    }
  } finally {
    await postgres?.stop();
  }
}
