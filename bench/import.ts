import { spawnSync } from 'node:child_process';
import { openAsBlob } from 'node:fs';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import Database from 'better-sqlite3';
import { migrate, seedUser } from './database/seed.ts';
import { scratchFolder } from './database/sqlite.ts';
import { peakBytes, resetPeak } from './machine/proc.ts';
import { generate, loadOf } from './measure.ts';
import { onMuster } from './on-muster.ts';
import { readOptions } from './options.ts';
import { ms, whole } from './report/format.ts';

/**
 * `npm run import -- --databases sqlite --users 1000 --rows 100000`: a file of so many rows, every hundredth broken, is
 * imported: its rate, the memory that it takes, how its last tenth compares with its first, what it does to look-ups, and on
 * SQLite the rate beside rows that are inserted into the same table, with the same indices, in one transaction.
 */
const at = process.argv.indexOf('--rows');
const ROWS = at < 0 ? 100_000 : Number(process.argv[at + 1]);
const args = process.argv.slice(2).filter((_, n) => at < 0 || (n !== at - 2 && n !== at - 1));
const options = { ...readOptions(args), seconds: 3 };
const LOOKUPS_PER_SECOND = 200;

interface Task {
  state: string;
  startedAt: string;
  finishedAt?: string;
  progress?: { done: number; total: number };
}

const folder = await scratchFolder();
const file = join(folder, 'people.csv');
await writeFile(file, ['name,email,team,desk\n', ...Array.from({ length: ROWS }, (_, n) => row(n))].join(''));
const rows: Record<string, string>[] = [];
await onMuster(
  options,
  async (started, database, users) => {
    const base = `http://127.0.0.1:${started.port}`;
    const lookups = async (tag: string) => {
      const directory = { users, tag, besideDatabase: database === 'postgresql' };
      return generate({
        ...(await loadOf('lookup', started, directory, options)),
        rate: LOOKUPS_PER_SECOND,
        sleeps: true,
      });
    };
    await lookups('warm');
    const idle = await lookups('idle');
    const idleBytes = started.idleBytes();
    resetPeak(started.pid);
    const answer = await fetch(`${base}/users/import`, {
      method: 'POST',
      headers: { 'content-type': 'text/csv' },
      body: await openAsBlob(file),
    });
    const path = answer.headers.get('location');
    const seen: { at: number; done: number }[] = [];
    const busy = lookups('busy');
    let task: Task;
    do {
      await sleep(100);
      task = (await (await fetch(`${base}${path}`)).json()) as Task;
      seen.push({ at: performance.now(), done: task.progress?.done ?? 0 });
    } while (!['succeeded', 'failed', 'cancelled'].includes(task.state));
    if (task.state !== 'succeeded') throw new Error(`the import has ${task.state}`);
    const rate = (ROWS / (Date.parse(task.finishedAt ?? '') - Date.parse(task.startedAt))) * 1000;
    const bare = database === 'sqlite' ? await bareRate() : undefined;
    rows.push({
      database,
      rows: whole(ROWS),
      'rows/s': whole(rate),
      'beside bare inserts': bare === undefined ? '' : (rate / bare).toFixed(2),
      'last tenth beside first': (tenth(seen, 9) / tenth(seen, 0)).toFixed(2),
      'MB above idle': whole((peakBytes(started.pid) - idleBytes) / 1e6),
      'look-up p99 idle, ms': ms(idle.p99Ms),
      'beside it, ms': ms((await busy).p99Ms),
    });
  },
  { shares: true },
);
await rm(folder, { recursive: true });
console.table(rows);

function row(n: number): string {
  const { name, email } = seedUser(10_000_000 + n);
  return n % 100 === 7 ? `${name},nobody,x,1\n` : `${name},${email},team ${n % 40},${n}\n`;
}

/** Rows a second in a tenth of the file. */
function tenth(seen: readonly { at: number; done: number }[], n: number): number {
  const within = seen.filter(({ done }) => done >= (ROWS * n) / 10 && done <= (ROWS * (n + 1)) / 10);
  const [first, last] = [within.at(0), within.at(-1)];
  return first === undefined || last === undefined
    ? Number.NaN
    : (last.done - first.done) / (last.at - first.at);
}

/** What `.import` of the sqlite3 shell does, without its CSV: a statement for each row, in one durable transaction. */
async function bareRate(): Promise<number> {
  const path = join(folder, 'bare.db');
  await migrate(`sqlite:${path}`);
  const db = new Database(path);
  db.pragma('journal_mode = WAL');
  db.pragma('synchronous = FULL');
  const insert = db.prepare(
    `insert into users (name, name_key, email, email_key, search_key, attributes, version, created_at, updated_at)
     values (?, ?, ?, ?, ?, ?, 1, 0, 0)`,
  );
  const people = Array.from({ length: ROWS }, (_, n) => seedUser(10_000_000 + n));
  const from = performance.now();
  db.transaction(() => {
    for (const { name, email, attributes } of people) {
      const [nameKey, emailKey] = [name.toLowerCase(), email.toLowerCase()];
      insert.run(name, nameKey, email, emailKey, `${nameKey}\n${emailKey}`, attributes);
    }
  })();
  const rate = (ROWS / (performance.now() - from)) * 1000;
  db.close();
  spawnSync('sync');
  return rate;
}
