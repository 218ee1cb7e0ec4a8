import { createWriteStream } from 'node:fs';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';

/** The files that are imported, and what they must come to: made here, so that no code of Muster's is asked. */
export interface PeopleFile {
  /** Makes its emails differ from those of every other file. */
  tag: string;
  rows: number;
}

export interface Person {
  name: string;
  email: string;
  attributes: Record<string, string>;
}

/** One row: what stands in the file, and who is to be there, unless it is broken. */
export interface PeopleRow {
  /** Without its line end. */
  text: string;
  person?: Person;
}

export const COLUMNS = ['name', 'email', 'team', 'desk', 'notes'] as const;
const FIRST = ['Ada', 'Zoë', 'Иван', '太郎', 'José "Pepe"', 'Radia', 'Łucja', 'Frances', 'नेहा', 'Hedy'];
const LAST = ['Lovelace', 'Hopper-Müller', 'Петров', '山田', 'O’Neil, Jr.', 'Perlman', 'Thompson'];
const TEAMS = ['engines', 'compilers', 'networks', 'proofs', 'operations'];
const NOTES = ['', '', '', 'likes "quotes", and commas', 'two\nlines', 'three\r\n\r\nlines', '=1+1', 'null'];

/** Of each whole hundred rows this one is broken, the ways in turn. */
const BROKEN_AT = 37;
const BROKEN: ((cells: string[]) => string[])[] = [
  ([name = '', , ...others]) => [name, 'nobody', ...others],
  ([, ...others]) => ['', ...others],
  ([, ...others]) => ['n'.repeat(51), ...others],
  (cells) => cells.slice(0, -1),
  ([name = '', email = '', ...others]) => [name, email.replace('.', ' '), ...others],
];

/** The row with this number, from 1. */
export function rowAt(n: number, tag: string): PeopleRow {
  const mixed = Math.imul(n, 0x9e3779b1) >>> 0;
  const pick = (all: readonly string[], shift: number) => all[(mixed >>> shift) % all.length] ?? '';
  const name = `${pick(FIRST, 0)} ${pick(LAST, 8)}`;
  const given = { team: pick(TEAMS, 4), desk: String(mixed % 1000), notes: pick(NOTES, 12) };
  const email = `${n % 3 === 0 ? 'Person' : 'élève'}.${n}@${tag}.example`;
  const cells = [name, email, given.team, given.desk, given.notes];
  if (n % 100 === BROKEN_AT) {
    const breakRow = BROKEN[Math.floor(n / 100) % BROKEN.length];
    return { text: csvRow(breakRow?.(cells) ?? []) };
  }
  const attributes = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== ''));
  return { text: csvRow(cells), person: { name, email, attributes } };
}

/** The number of the row that has this email, if one has. */
export function numberOf(email: string, tag: string): number | undefined {
  const [, n, domain] = /\.(\d+)@(.+)\.example$/.exec(email) ?? [];
  return domain === tag ? Number(n) : undefined;
}

export function* rowsOf({ tag, rows }: PeopleFile): Generator<PeopleRow & { n: number; line: number }> {
  let line = 2; // below the header
  for (let n = 1; n <= rows; n++) {
    const row = rowAt(n, tag);
    yield { ...row, n, line };
    line += 1 + (row.text.match(/\r\n|\n|\r/g)?.length ?? 0);
  }
}

export function brokenOf({ rows }: PeopleFile): number {
  return Math.floor((rows + 100 - BROKEN_AT) / 100);
}

export async function writePeople(path: string, file: PeopleFile): Promise<void> {
  await writeLines(path, [COLUMNS.join(',')], rowsOf(file), ({ text }) => text);
}

/** Writes a line for each item, in blocks. */
export async function writeLines<T>(
  path: string,
  head: readonly string[],
  items: Iterable<T>,
  lineOf: (item: T) => string | undefined,
): Promise<void> {
  const blocks = function* () {
    let block = head.map((line) => `${line}\n`).join('');
    for (const item of items) {
      const line = lineOf(item);
      if (line !== undefined) block += `${line}\n`;
      if (block.length < 1 << 18) continue;
      yield Buffer.from(block);
      block = '';
    }
    yield Buffer.from(block);
  };
  await pipeline(Readable.from(blocks()), createWriteStream(path));
}

/** RFC 4180 §2. */
export function csvRow(cells: readonly string[]): string {
  return cells.map((cell) => (/[",\r\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell)).join(',');
}
