import { join } from 'node:path';
import { type Life, temporaryFolder } from '../support/owner.ts';
import { freePort, type PostgresServer, startPostgres } from '../support/postgres.ts';
import { type Service, startService } from '../support/service.ts';
import type { DatabaseName } from './fault.ts';

/** What is tortured: one service on SQLite, two on PostgreSQL, each in a process of its own and at its own address. */
export interface Stage {
  database: DatabaseName;
  bases: string[];
  services: Service[];
  /** Only with PostgreSQL. */
  postgres?: PostgresServer;
  /** Starts that one again, which has ended. */
  start(at: number): Promise<void>;
}

export interface StageOptions {
  env?: Record<string, string>;
  /** What the services are told instead of the URL of PostgreSQL. */
  detour?: (url: string) => Promise<string>;
}

export async function openStage(
  life: Life,
  database: DatabaseName,
  { env = {}, detour = async (url) => url }: StageOptions = {},
): Promise<Stage> {
  const postgres = database === 'postgresql' ? await startPostgres() : undefined;
  life.teardown(() => postgres?.stop());
  await postgres?.query('create database muster');
  const databaseUrl =
    postgres === undefined
      ? `sqlite:${join(await temporaryFolder(life), 'muster.db')}`
      : await detour(postgres.url('muster'));
  const ports = await Promise.all((postgres === undefined ? [0] : [0, 0]).map(() => freePort()));
  const services: Service[] = [];
  const start = async (at: number) => {
    services[at] = await startService(life, {
      DATABASE_URL: databaseUrl,
      PORT: String(ports[at]),
      WEBHOOK_ALLOWED_NETWORKS: '127.0.0.0/8',
      ...env,
    });
  };
  for (const at of ports.keys()) await start(at);
  const bases = ports.map((port) => `http://127.0.0.1:${port}`);
  return { database, bases, services, ...(postgres && { postgres }), start };
}
