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
  /** What the services have logged of a request that went wrong. */
  explain(requestId: string): string;
}

/** A debugger is let in only when it is asked for, by `collectGarbage`. */
const FLAGS = ['--inspect-port=0'];

export interface StageOptions {
  env?: Record<string, string>;
  /** What the services are told instead of the URL of PostgreSQL. */
  detour?(url: string, life: Life): Promise<string>;
}

export async function openStage(
  life: Life,
  database: DatabaseName,
  { env = {}, detour = async (url: string) => url }: StageOptions = {},
): Promise<Stage> {
  const postgres = database === 'postgresql' ? await startPostgres() : undefined;
  life.teardown(() => postgres?.stop());
  await postgres?.query('create database muster');
  const databaseUrl =
    postgres === undefined
      ? `sqlite:${join(await temporaryFolder(life), 'muster.db')}`
      : await detour(postgres.url('muster'), life);
  const ports = await Promise.all((postgres === undefined ? [0] : [0, 0]).map(() => freePort()));
  const services: Service[] = [];
  const all: Service[] = [];
  const start = async (at: number) => {
    const settings = {
      DATABASE_URL: databaseUrl,
      PORT: String(ports[at]),
      WEBHOOK_ALLOWED_NETWORKS: '127.0.0.0/8',
      ...env,
    };
    services[at] = await startService(life, settings, 'src/server.js', FLAGS);
    all.push(services[at]);
  };
  for (const at of ports.keys()) await start(at);
  const bases = ports.map((port) => `http://127.0.0.1:${port}`);
  const explain = (requestId: string) => {
    const lines = all.flatMap((service) => service.output().split('\n'));
    return lines.find((line) => line.includes(requestId) && line.includes('"err"')) ?? '';
  };
  return { database, bases, services, ...(postgres && { postgres }), start, explain };
}
