import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { createReadStream, createWriteStream, openSync } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import pg from 'pg';
import { from as copyFrom, to as copyTo } from 'pg-copy-streams';
import { keysOf } from '../peers/api.ts';
import { csvRow, type PeopleFile, rowsOf, writeLines } from './people.ts';

/**
 * What the databases' own tools do with the same people: `.import` and `-csv` of the program sqlite3, `COPY` of PostgreSQL.
 * They are given the columns of the table as they are, check nothing and record no change.
 */
export const BARE = { sqlite: 'sqlite3', postgresql: 'COPY' } as const;

/** Why it cannot run here, if it cannot. */
export function missingBare(database: keyof typeof BARE): string | undefined {
  if (database === 'postgresql') return undefined;
  const { error } = spawnSync('sqlite3', ['--version']);
  return error === undefined ? undefined : 'no program sqlite3 here (the package sqlite3 of Debian)';
}

const TABLE = ['id', 'name', 'name_key', 'email', 'email_key', 'search_key', 'attributes', 'version'];
const COLUMNS = [...TABLE, 'created_at', 'updated_at'];

/** The whole rows of a file as the table has them, for `bareImport`. */
export async function writeTable(
  path: string,
  file: PeopleFile,
  database: keyof typeof BARE,
  seeded: number,
): Promise<void> {
  const now = database === 'sqlite' ? String(Date.now()) : new Date().toISOString();
  let id = seeded;
  await writeLines(path, [], rowsOf(file), ({ person }) => {
    if (person === undefined) return undefined;
    const { name, email, attributes } = person;
    const { nameKey, emailKey, searchKey } = keysOf(name, email);
    const keys = [name, nameKey, email, emailKey, searchKey];
    return csvRow([String(++id), ...keys, JSON.stringify(attributes), '1', now, now]);
  });
}

/** Gives the milliseconds that it took, its commit with them. */
export function bareImport(url: string, path: string): Promise<number> {
  return timed(async () => {
    if (url.startsWith('sqlite:')) {
      const durable = ['pragma journal_mode = wal; pragma synchronous = full'];
      return sqlite3([sqlitePath(url), ...durable, `.import --csv '${path}' users`]);
    }
    await withClient(url, async (client) => {
      const copy = client.query(copyFrom(`copy users (${COLUMNS.join(', ')}) from stdin (format csv)`));
      await pipeline(createReadStream(path), copy);
    });
  });
}

/** Writes all users to a file; gives the milliseconds that it took. */
export function bareExport(url: string, path: string): Promise<number> {
  const query = 'select id, name, email, attributes from users order by id';
  return timed(async () => {
    if (url.startsWith('sqlite:'))
      return sqlite3(['-csv', '-header', sqlitePath(url), query], openSync(path, 'w'));
    await withClient(url, async (client) => {
      const copy = client.query(copyTo(`copy (${query}) to stdout (format csv, header)`));
      await pipeline(copy, createWriteStream(path));
    });
  });
}

async function timed(work: () => Promise<void>): Promise<number> {
  const from = performance.now();
  await work();
  return performance.now() - from;
}

async function withClient(url: string, work: (client: pg.Client) => Promise<void>): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await work(client);
  } finally {
    await client.end();
  }
}

async function sqlite3(args: readonly string[], stdout: number | 'ignore' = 'ignore'): Promise<void> {
  const child = spawn('sqlite3', ['-bail', ...args], { stdio: ['ignore', stdout, 'pipe'] });
  let complaints = '';
  child.stderr?.on('data', (chunk) => {
    complaints += chunk;
  });
  const [code] = await once(child, 'close');
  if (code !== 0 || complaints !== '') throw new Error(`sqlite3 ended with ${code}: ${complaints}`);
}

function sqlitePath(url: string): string {
  return url.slice('sqlite:'.length);
}
