import { existsSync, mkdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import Database from 'better-sqlite3';
import type { Random } from '../random.ts';

const PAGE = 4096;

/** Spoils the files of a directory, and says how. */
type Damage = (path: string, random: Random) => string;

function somewhere(path: string, random: Random, end = ''): { bytes: Buffer; at: number } {
  const bytes = readFileSync(`${path}${end}`);
  return { bytes, at: random.between(0, Math.max(0, bytes.length - 1)) };
}

function scribble(path: string, random: Random, end: string, from?: number, to?: number): string {
  const { bytes, at } = somewhere(path, random, end);
  const start = from === undefined || to === undefined ? at : random.between(from, to - 1);
  const length = random.between(1, 64);
  for (let byte = start; byte < Math.min(start + length, to ?? bytes.length); byte++)
    bytes[byte] = random.between(0, 255);
  writeFileSync(`${path}${end}`, bytes);
  return `${length} bytes at ${start} of the ${end === '' ? 'database' : end}`;
}

function cut(path: string, random: Random, end: string): string {
  const { at } = somewhere(path, random, end);
  truncateSync(`${path}${end}`, at);
  return `${end === '' ? 'the database' : end} cut off at ${at}`;
}

function replacePage(path: string, random: Random): string {
  const { bytes, at } = somewhere(path, random);
  const [to, from] = [Math.floor(at / PAGE) * PAGE, random.between(0, bytes.length / PAGE - 1) * PAGE];
  const other = random.pick(['zeros', 'noise', 'another page']);
  for (let byte = 0; byte < PAGE; byte++)
    bytes[to + byte] =
      other === 'zeros' ? 0 : other === 'noise' ? random.between(0, 255) : (bytes[from + byte] ?? 0);
  writeFileSync(path, bytes);
  return `${other} in place of the page at ${to}`;
}

function change(path: string, sql: string): void {
  const database = new Database(path);
  database.exec(sql);
  database.pragma('wal_checkpoint(truncate)');
  database.close();
}

/** Anywhere in the file: SQLite may notice or not. */
export const SPOILED: readonly Damage[] = [
  (path, random) => scribble(path, random, ''),
  (path, random) => scribble(path, random, '', 0, 100),
  replacePage,
  replacePage,
  (path, random) => cut(path, random, ''),
];

/** Of the journal of a process that was killed. What is after the first broken frame SQLite takes for never written. */
export const JOURNAL_SPOILED: readonly Damage[] = [
  (path, random) => scribble(path, random, '-wal'),
  (path, random) => scribble(path, random, '-wal', 0, 32),
  (path, random) => cut(path, random, '-wal'),
];

/** Never to be started on. */
export const UNUSABLE: readonly Damage[] = [
  (path) => {
    rmSync(path);
    return 'missing';
  },
  (path) => {
    truncateSync(path, 0);
    return 'emptied';
  },
  (path) => {
    rmSync(path);
    mkdirSync(path);
    return 'a folder';
  },
  (path, random) => {
    writeFileSync(
      path,
      Buffer.from(Array.from({ length: random.between(1, 9000) }, () => random.between(0, 255))),
    );
    return 'noise';
  },
  (path) => {
    change(path, `update instance set id = 'another'`);
    return 'another directory';
  },
  (path) => {
    change(path, `insert into migrations (name, executed_at) values ('9999_future', '2030-01-01')`);
    return 'of a newer version';
  },
  (path) => {
    rmSync(path);
    change(path, 'create table songs (title text)');
    return 'of another program';
  },
  (path) => {
    writeFileSync(`${path}-guard`, Buffer.alloc(4096, 0xaa));
    return 'with a broken guard';
  },
];

/** The bytes of the database; undefined when there are none. */
export function bytesOf(path: string): Buffer | undefined {
  try {
    return existsSync(path) ? readFileSync(path) : undefined;
  } catch {
    return undefined; // a folder
  }
}
