import { postgresTemplate, startDurablePostgres } from './database/postgresql.ts';
import type { Template } from './database/seed.ts';
import { sqliteTemplate } from './database/sqlite.ts';
import { shareMachine, takeMachine } from './machine/cores.ts';
import { type ServerProcess, startServer } from './machine/server-process.ts';
import type { DatabaseName, Options } from './options.ts';
import { MUSTER, SERVERS } from './servers.ts';

interface Setting {
  env?: Record<string, string>;
  /** Whether all share both cores, or Muster is alone on its own. */
  shares?: boolean;
}

/** Starts Muster alone on each database of each size that `options` names, and measures it. */
export async function onMuster(
  options: Options,
  measure: (started: ServerProcess, database: DatabaseName, users: number) => Promise<void>,
  { env, shares }: Setting = {},
): Promise<void> {
  const each = (template: Template, database: DatabaseName, users: number) =>
    onCopy(template, 'alone', (url) => withMuster(url, (started) => measure(started, database, users), env));
  await onDatabases(options, each, shares);
}

/** Makes each database of each size that `options` names. */
export async function onDatabases(
  options: Options,
  measure: (template: Template, database: DatabaseName, users: number) => Promise<void>,
  shares = false,
): Promise<void> {
  if (shares) shareMachine();
  else takeMachine();
  const postgres = options.databases.includes('postgresql') ? await startDurablePostgres() : undefined;
  try {
    for (const users of options.users) {
      for (const database of options.databases) {
        const template =
          database === 'sqlite' || postgres === undefined
            ? await sqliteTemplate(users)
            : await postgresTemplate(postgres, users);
        try {
          await measure(template, database, users);
        } finally {
          await template.remove();
        }
      }
    }
  } finally {
    await postgres?.stop();
  }
}

export async function onCopy<T>(
  template: Template,
  name: string,
  work: (url: string) => Promise<T>,
): Promise<T> {
  const copy = await template.copy(name);
  try {
    return await work(copy.url);
  } finally {
    await copy.remove();
  }
}

export async function withMuster<T>(
  url: string,
  work: (started: ServerProcess) => Promise<T>,
  env?: Record<string, string>,
): Promise<T> {
  const started = await startMuster(url, env);
  try {
    return await work(started);
  } finally {
    await started.stop();
  }
}

export function startMuster(url: string, env: Record<string, string> = {}): Promise<ServerProcess> {
  const server = SERVERS.find(({ name }) => name === MUSTER);
  if (server === undefined) throw new Error('no server to measure');
  return startServer(server.command, { ...server.env, ...env, DATABASE_URL: url }, server);
}
