import type { FastifyInstance } from 'fastify';
import { freeBytes } from './files.ts';
import { migrationNames } from './migrations.ts';
import type { Probe } from './probe.ts';
import { sqliteFile } from './url.ts';

interface Settings {
  databaseUrl: string;
  probe: Probe;
  /** What must be free on the file system of an SQLite file; 0 does not ask. */
  minFreeBytes: number;
  /** Whether the file was found to be damaged. It does not heal, so it stays so until the next start. */
  isDamaged(): boolean;
}

/** Each check says what is wrong, in words that anybody may read; nothing when nothing is. */
export function checkHealth(
  { health }: FastifyInstance,
  { databaseUrl, probe, minFreeBytes, isDamaged }: Settings,
): void {
  health.check('database', async () => {
    await probe.read('select 1 as one');
    return isDamaged() ? 'its file is damaged' : undefined;
  });
  const known = migrationNames(probe.dialect);
  known.catch(() => {}); // told by the check
  // More than are known here is fine: in an upgrade of replicas one by one, the first of them has migrated for all.
  health.check('migrations', async () => {
    const rows = await probe.read<{ name: string }>('select name from migrations');
    const done = new Set(rows.map(({ name }) => name));
    const missing = (await known).filter((name) => !done.has(name));
    return missing.length === 0 ? undefined : `${missing.join(', ')} has not run`;
  });
  const file = sqliteFile(databaseUrl);
  if (file === undefined || minFreeBytes === 0) return;
  health.check('disk', async () => {
    const free = await freeBytes(file);
    return free >= minFreeBytes ? undefined : `${Math.floor(free / 2 ** 20)} MB are free`;
  });
}
