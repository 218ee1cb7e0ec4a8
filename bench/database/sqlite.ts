import { rmSync } from 'node:fs';
import { constants, copyFile, mkdir, mkdtemp, open, rm, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import Database from 'better-sqlite3';
import { type Copy, migrate, seedUser, type Template } from './seed.ts';

/** Where the databases of a run live. */
export const DATA = fileURLToPath(new URL('../data/', import.meta.url));
const TMPFS_MAGIC = 0x01021994;

export async function sqliteTemplate(users: number): Promise<Template> {
  const folder = await scratchFolder();
  const path = join(folder, 'template.db');
  await migrate(`sqlite:${path}`);
  fill(path, users);
  return {
    async copy(name: string): Promise<Copy> {
      const own = join(folder, name);
      await mkdir(own);
      const file = join(own, 'users.db');
      await copyFile(path, file, constants.COPYFILE_FICLONE);
      await flushToDisk(file); // else the kernel writes it out during the measurement
      return { url: `sqlite:${file}`, remove: () => rm(own, { recursive: true }) };
    },
    remove: () => rm(folder, { recursive: true }),
  };
}

/** On a disk: a file system in memory would make every `fsync` free. */
export async function scratchFolder(): Promise<string> {
  await mkdir(DATA, { recursive: true });
  if ((await statfs(DATA)).type === TMPFS_MAGIC)
    throw new Error(`${DATA} is in memory: it must be on a disk`);
  const folder = await mkdtemp(join(DATA, 'run-'));
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

function fill(path: string, users: number): void {
  const db = new Database(path);
  db.pragma('journal_mode = WAL');
  db.pragma('synchronous = OFF');
  const insert = db.prepare(
    `insert into users (name, name_key, email, email_key, search_key, attributes, version, created_at, updated_at)
     values (?, ?, ?, ?, ?, ?, 1, ?, ?)`,
  );
  db.transaction(() => {
    for (let id = 1; id <= users; id++) {
      const { name, email, attributes, createdAt } = seedUser(id);
      const [nameKey, emailKey] = [name.toLowerCase(), email.toLowerCase()];
      insert.run(name, nameKey, email, emailKey, `${nameKey}\n${emailKey}`, attributes, createdAt, createdAt);
    }
  })();
  db.exec(`insert into users_search (users_search) values ('optimize')`); // nothing is left for whoever writes next
  db.pragma('wal_checkpoint(TRUNCATE)');
  db.close();
}

async function flushToDisk(path: string): Promise<void> {
  const file = await open(path, 'r+');
  await file.sync();
  await file.close();
}
