import { copyFileSync, existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import type { FastifyInstance } from 'fastify';
import { buildApp } from '../../../src/app.ts';
import { loadConfig } from '../../../src/config.ts';
import { QUEUED } from '../../../src/tasks/topics.ts';
import { type Send, sendTo } from './client.ts';
import { steps } from './steps.ts';

/** A service on an SQLite file, in this process. */
export interface Directory {
  app: FastifyInstance;
  send: Send;
  path: string;
  close(): Promise<void>;
}

/** What the services of this process logged last, to be shown with what was found. */
export const said: string[] = [];
const stream = {
  write(line: string) {
    said.push(line.trim());
    if (said.length > 20) said.shift();
  },
};

/** @throws whatever keeps it from starting */
export async function openDirectory(path: string): Promise<Directory> {
  const config = {
    ...loadConfig({}),
    databaseUrl: `sqlite:${path}`,
    logLevel: 'warn' as const,
    minFreeDiskMb: 0,
    maxEventLoopDelayMs: 60_000, // with the client in the same process it is late for other reasons than its load
  };
  const app = await buildApp(config, stream, { kinds: [steps] });
  try {
    await app.ready();
  } catch (error) {
    await app.close();
    throw error;
  }
  return { app, send: sendTo(app), path, close: () => app.close() };
}

/** Waits until no task runs or is about to; at most so long. Those that wait for their next attempt are not waited for. */
export async function untilQuiet({ app }: Directory, limitMs: number): Promise<void> {
  const until = performance.now() + limitMs;
  while (performance.now() < until) {
    const busy = await app.reader
      .read(`select 1 from tasks where state in ('queued', 'running') limit 1`, [])
      .catch(() => [1]);
    if (busy.length === 0) return;
    await new Promise((resolve) => setTimeout(resolve, 3));
  }
}

/** Waits for the end of all tasks, and lets none of them wait for its next attempt. */
export async function untilOver(directory: Directory, limitMs = 120_000): Promise<void> {
  const until = performance.now() + limitMs;
  while (performance.now() < until) {
    await untilQuiet(directory, until - performance.now());
    const { app } = directory;
    const waiting = await app.reader.read(`select 1 from tasks where state = 'scheduled' limit 1`, []);
    if (waiting.length === 0) return;
    await app.write(async (tx) => {
      tx.changed();
      await tx.execute(`update tasks set state = 'queued' where state = 'scheduled'`, []);
      tx.ring(QUEUED);
    });
  }
}

/** What SQLite says of the file. */
export function integrityOf(path: string): string[] {
  const database = new Database(path, { readonly: true });
  try {
    const rows = database.pragma('integrity_check') as { integrity_check: string }[];
    const found = rows.map(({ integrity_check }) => integrity_check).filter((verdict) => verdict !== 'ok');
    return found.map((verdict) => `integrity_check: ${verdict}`);
  } finally {
    database.close();
  }
}

/** Copies the files as they are at this moment, as if the process were killed now. Gives the path of the copy. */
export function copyFiles(path: string, folder: string, ends = ['', '-wal', '-guard']): string {
  mkdirSync(folder, { recursive: true });
  const copy = join(folder, 'muster.db');
  for (const end of ends) if (existsSync(`${path}${end}`)) copyFileSync(`${path}${end}`, `${copy}${end}`);
  return copy;
}
