import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

export const ROOT = fileURLToPath(new URL('../../', import.meta.url));

/** Muster's own migrations make the tables: every peer works on the same ones, with the same indices. */
export async function migrate(databaseUrl: string): Promise<void> {
  await promisify(execFile)(process.execPath, ['scripts/migrate.ts', 'up'], {
    cwd: ROOT,
    env: { ...process.env, DATABASE_URL: databaseUrl },
  });
}

export interface SeedUser {
  name: string;
  email: string;
  attributes: string;
  createdAt: number;
}

const FIRST = ['Ada', 'Grace', 'Edsger', 'Barbara', 'Donald', 'Radia', 'Ken', 'Frances', 'Niklaus', 'Hedy'];
const LAST = ['Lovelace', 'Hopper', 'Dijkstra', 'Liskov', 'Knuth', 'Perlman', 'Thompson', 'Allen', 'Wirth'];
const TEAMS = ['engines', 'compilers', 'networks', 'proofs', 'operations'];
const NEW_YEAR = Date.UTC(2025, 0, 1);

/** The user with this number; names, emails and dates come in another order than the ids, as they do in life. */
export function seedUser(id: number): SeedUser {
  const mixed = Math.imul(id, 0x9e3779b1) >>> 0;
  const [first, last] = [FIRST[mixed % FIRST.length] ?? '', LAST[(mixed >>> 8) % LAST.length] ?? ''];
  const attributes = { team: TEAMS[mixed % TEAMS.length], desk: mixed % 1000, remote: mixed % 3 === 0 };
  return {
    name: `${first} ${last} ${mixed % 10_000}`,
    email: `${first}.${last}.${id}@example.com`,
    attributes: JSON.stringify(attributes),
    createdAt: NEW_YEAR + (mixed % 31_536_000) * 1000,
  };
}

/** What a server gets: a database of its own, equal to everybody else's. */
export interface Copy {
  url: string;
  remove(): Promise<void>;
}

/** A filled database that is copied for each server. */
export interface Template {
  copy(name: string): Promise<Copy>;
  remove(): Promise<void>;
}
