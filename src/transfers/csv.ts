import { isUtf8 } from 'node:buffer';
import { invalidHeader, readColumns, refuse } from './columns.ts';
import { withoutLineEnd } from './ndjson.ts';
import type { Found, RowFormat } from './rows.ts';

const LF = 0x0a;
const CR = 0x0d;
const BOM = Buffer.from('\ufeff');

type Parse = typeof import('csv-parse/sync').parse;

/** RFC 4180, and lines that end as on any system. Nothing is trimmed, converted or made up for. */
const OPTIONS = {
  delimiter: ',',
  quote: '"',
  escape: '"',
  record_delimiter: ['\r\n', '\n', '\r'],
  relax_column_count: true, // told by `columns.ts`, with the row
  skip_empty_lines: true,
};

interface Scanned {
  records: { cells: string[]; to: number }[];
  /** The code of what has stopped it. */
  fault?: string;
}

/**
 * Reads CSV window by window. csv-parse is given each window as if it were a whole file; what it then takes for a last
 * record may go on in the next window, and is left for that. So there is no state between windows, and a task that was
 * interrupted goes on at the byte where it was. `userOf` makes of the cells of a row who is to be there.
 */
export async function csvFormat(userOf: (cells: string[]) => unknown): Promise<RowFormat> {
  const { parse } = await import('csv-parse/sync');
  return {
    take(window, isEnd) {
      const found: Found[] = [];
      let at = 0;
      for (;;) {
        at = afterLineEnds(window, at);
        if (!isEnd && at === window.length && window[at - 1] === CR) at--; // an LF may follow
        const rest = window.subarray(at);
        const { records, fault } = scan(parse, rest);
        if (!isEnd && isUnfinished(rest, records.at(-1)?.to)) records.pop();
        let from = 0;
        for (const { cells, to } of records) {
          found.push(foundAt(window, at + from, at + to, (raw) => userOf(sound(raw, cells))));
          from = to;
        }
        at += from;
        if (fault === undefined) return { found, consumed: isEnd ? window.length : at };
        const to = at + brokenUntil(parse, window.subarray(at), isEnd);
        if (to === at) return { found, consumed: at };
        found.push(foundAt(window, at, to, () => refuse(FAULTS[fault] ?? 'is no CSV (RFC 4180)')));
        at = to;
      }
    },
    skip: (window, isEnd, within) => skipRecord(parse, window, isEnd, within),
  };
}

/** In words for people. */
const FAULTS: Record<string, string> = {
  CSV_QUOTE_NOT_CLOSED: 'has a quote that is not closed',
  CSV_INVALID_CLOSING_QUOTE: 'has something behind a closing quote; a quote within quotes is written twice',
  INVALID_OPENING_QUOTE: 'has a quote in a cell that does not begin with one',
};

function scan(parse: Parse, window: Buffer, options: { relax_quotes?: boolean; to?: number } = {}): Scanned {
  const records: Scanned['records'] = [];
  try {
    parse(window, {
      ...OPTIONS,
      ...options,
      on_record: (cells: string[], { bytes }) => {
        records.push({ cells, to: bytes });
        return null;
      },
    });
    return { records };
  } catch (error) {
    const fault = error instanceof Error && 'code' in error ? String(error.code) : undefined;
    if (fault === undefined || !(fault in FAULTS)) throw error;
    return { records, fault };
  }
}

/** Whether the last record may go on: a CR may be half of what ends it. */
function isUnfinished(window: Buffer, to: number | undefined): boolean {
  return to === window.length && window[to - 1] !== LF;
}

/** Where a record with a misplaced quote ends; 0 when that is not in this window. */
function brokenUntil(parse: Parse, window: Buffer, isEnd: boolean): number {
  const { records, fault } = scan(parse, window, { relax_quotes: true, to: 1 });
  const to = records[0]?.to;
  if (to === undefined || fault !== undefined) return isEnd ? window.length : 0;
  return !isEnd && isUnfinished(window, to) ? 0 : to;
}

/** Quotes at the end of a window, of which nobody knows yet how many there are. */
const MOST_HELD = 64;

/**
 * `within` stands before the window in place of all that was skipped: the quote that is open, or a letter of the cell, or
 * the comma behind it.
 */
function skipRecord(parse: Parse, window: Buffer, isEnd: boolean, within: string) {
  let usable = window;
  while (!isEnd && window.length - usable.length < MOST_HELD && [0x22, CR].includes(usable.at(-1) ?? 0)) {
    usable = usable.subarray(0, -1);
  }
  const before = Buffer.from(within);
  const whole = Buffer.concat([before, usable]);
  const { records, fault } = scan(parse, whole, { relax_quotes: true, to: 1 });
  const to = records[0]?.to;
  if (to !== undefined && !isUnfinished(whole, to)) {
    return { consumed: to - before.length, ended: true, within: '' };
  }
  const open = fault === 'CSV_QUOTE_NOT_CLOSED';
  return { consumed: usable.length, ended: false, within: open ? '"' : usable.at(-1) === 0x2c ? ',' : 'x' };
}

function foundAt(window: Buffer, from: number, to: number, read: (raw: Buffer) => unknown): Found {
  const begins = afterLineEnds(window, from); // empty lines before it
  const raw = withoutLineEnd(window.subarray(begins, to));
  return { from: begins, to, raw, read: () => read(raw) };
}

function afterLineEnds(window: Buffer, from: number): number {
  let at = from;
  while (window[at] === LF || window[at] === CR) at++;
  return at;
}

/** The parser would read bytes that are no UTF-8 as U+FFFD, and neither database keeps NUL. */
function sound(raw: Buffer, cells: string[]): string[] {
  if (!isUtf8(raw)) refuse('is not valid UTF-8');
  if (raw.includes(0)) refuse('holds the character NUL (U+0000)');
  return cells;
}

/** The first record of a file, with all that is before it, and its cells. `isWhole`: nothing follows the block. */
export async function readHeader(
  block: Buffer,
  isWhole: boolean,
): Promise<{ bytes: Buffer; cells: string[] }> {
  const { parse } = await import('csv-parse/sync');
  const from = afterLineEnds(block, bomLength(block));
  const rest = block.subarray(from);
  const { records, fault } = scan(parse, rest, { to: 1 });
  const [first] = records;
  if (fault !== undefined) throw invalidHeader(`it ${FAULTS[fault]}`);
  if (first === undefined) throw invalidHeader('there is none');
  if (!isWhole && isUnfinished(rest, first.to)) throw invalidHeader('it is too long');
  const bytes = block.subarray(0, from + first.to);
  if (!isUtf8(bytes)) throw invalidHeader('it is not valid UTF-8');
  if (bytes.includes(0)) throw invalidHeader('it holds the character NUL (U+0000)');
  readColumns(first.cells);
  return { bytes, cells: first.cells };
}

/** A byte order mark says nothing in UTF-8, and is no part of what follows. */
export function bomLength(bytes: Buffer): number {
  return bytes.subarray(0, BOM.length).equals(BOM) ? BOM.length : 0;
}
