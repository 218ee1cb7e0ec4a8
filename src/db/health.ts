import { statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import { migrationNames } from './migrations.ts';
import type { Probe } from './probe.ts';
import { dialectOf, sqlitePath } from './url.ts';

/** What is wrong with the database, in words that anybody may read; undefined when nothing is. */
type Check = () => Promise<string | undefined>;

interface Settings {
  databaseUrl: string;
  probe: Probe;
  /** What must be free on the file system of an SQLite file; 0 does not ask. */
  minFreeBytes: number;
  /** Whether the file was found to be damaged. It does not heal, so it stays so until the next start. */
  isDamaged(): boolean;
}

export function databaseChecks({
  databaseUrl,
  probe,
  minFreeBytes,
  isDamaged,
}: Settings): Record<string, Check> {
  const dialect = dialectOf(databaseUrl);
  const path = sqlitePath(databaseUrl);
  const known = migrationNames(dialect);
  known.catch(() => {}); // told by the check
  const database: Check = async () => {
    await probe.read('select 1 as one');
    return isDamaged() ? 'its file is damaged' : undefined;
  };
  // More than are known here is fine: in an upgrade of replicas one by one, the first of them has migrated for all.
  const migrations: Check = async () => {
    const rows = await probe.read<{ name: string }>('select name from migrations');
    const done = new Set(rows.map(({ name }) => name));
    const missing = (await known).filter((name) => !done.has(name));
    return missing.length === 0 ? undefined : `${missing.join(', ')} has not run`;
  };
  const disk: Check = async () => {
    const free = await freeBytes(path);
    return free >= minFreeBytes ? undefined : `${Math.floor(free / 2 ** 20)} MB are free`;
  };
  const onFile = dialect === 'sqlite' && path !== ':memory:';
  return { database, migrations, ...(onFile && minFreeBytes > 0 && { disk }) };
}

/** On the file system of this file, for those who are not root. */
export async function freeBytes(path: string): Promise<number> {
  const { bavail, bsize } = await statfs(dirname(path));
  return bavail * bsize;
}
