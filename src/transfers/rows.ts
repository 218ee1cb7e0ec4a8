import { Malformed, type Refusal } from '../errors.ts';
import type { Source } from './source.ts';

/** A place between two rows: where reading can begin. */
export interface Place {
  offset: number;
  /** Of the row that begins there, from 1. */
  line: number;
}

/** One row of a file: who it says is to be there, or why it cannot be understood. */
export interface Row {
  line: number;
  /** As it was sent, without what ends it; empty when it was too long to be kept. */
  raw: Buffer;
  user?: unknown;
  reason?: string;
  /** After it. */
  next: Place;
}

/** A row within a window of the file, with what ends it. `read` may refuse it. */
export interface Found {
  from: number;
  to: number;
  raw: Buffer;
  read(): unknown;
}

export interface RowFormat {
  /** The whole rows of a window that begins between two rows; and how much of it they and what lies between take. */
  take(window: Buffer, isEnd: boolean): { found: Found[]; consumed: number };
  /**
   * Goes on through a row that is too long: gives how much of the window it takes, and whether it ends there. `within`
   * is what it gave before.
   */
  skip(window: Buffer, isEnd: boolean, within: string): { consumed: number; ended: boolean; within: string };
}

/** What is parsed and checked at once, while all else waits: about half a millisecond. */
const PIECE_BYTES = 4096;
/** As much as `POST /users` reads. */
const LONGEST_ROW_BYTES = 262_144;
const TOO_LONG = {
  raw: Buffer.alloc(0),
  reason: `is longer than ${LONGEST_ROW_BYTES} bytes, perhaps because of a quote that is not closed`,
};

/**
 * The rows of a file from a place on, some at a time. Of the file no more is in memory than the row that is being read,
 * and of a row that is too long not even that.
 */
export async function* readRows(source: Source, format: RowFormat, from: Place): AsyncGenerator<Row[]> {
  let { offset, line } = from;
  let window: Buffer = Buffer.alloc(0);
  for (let piece = PIECE_BYTES; ; ) {
    const isEnd = offset + window.length >= source.bytes;
    const { found, consumed } = format.take(window, isEnd);
    const rows: Row[] = [];
    let at = 0;
    for (const { from, to, raw, read } of found) {
      line += countLineEnds(window.subarray(at, from));
      const begins = line;
      line += countLineEnds(window.subarray(from, to));
      at = to;
      const next = { offset: offset + to, line };
      const isTooLong = raw.length > LONGEST_ROW_BYTES;
      rows.push({ line: begins, next, ...(isTooLong ? TOO_LONG : { raw, ...understand(read) }) });
    }
    line += countLineEnds(window.subarray(at, consumed));
    offset += consumed;
    window = window.subarray(consumed);
    if (rows.length > 0) yield rows;
    if (isEnd) return;
    if (window.length > LONGEST_ROW_BYTES + 2) {
      const row = await skipRow(source, format, window, { offset, line });
      ({ offset, line } = row.next);
      window = Buffer.alloc(0);
      yield [row];
    }
    // A long row is looked at again with each piece, so the pieces grow with it.
    piece = rows.length > 0 ? PIECE_BYTES : Math.max(PIECE_BYTES, window.length);
    window = Buffer.concat([window, await source.read(offset + window.length, piece)]);
  }
}

async function skipRow(source: Source, format: RowFormat, first: Buffer, from: Place): Promise<Row> {
  let { offset, line } = from;
  let window = first;
  for (let within = ''; ; ) {
    const isEnd = offset + window.length >= source.bytes;
    const skipped = format.skip(window, isEnd, within);
    line += countLineEnds(window.subarray(0, skipped.consumed));
    offset += skipped.consumed;
    within = skipped.within;
    if (skipped.ended || isEnd) break;
    const rest = window.subarray(skipped.consumed);
    window = Buffer.concat([rest, await source.read(offset + rest.length, PIECE_BYTES * 4)]);
    await new Promise(setImmediate);
  }
  return { line: from.line, next: { offset, line }, ...TOO_LONG };
}

function understand(read: () => unknown): Pick<Row, 'user' | 'reason'> {
  try {
    return { user: read() };
  } catch (error) {
    if (error instanceof Malformed) return { reason: reasonOf(error) };
    throw error;
  }
}

/** What was wrong with a row, in words for people, who have more than one row before them. */
export function reasonOf({ message, faults }: Pick<Refusal, 'message' | 'faults'>): string {
  if (faults.length > 0) {
    return faults.map(({ pointer, detail }) => `${pointer.replace(/^#\/?/, '')} ${detail}`.trim()).join('; ');
  }
  return message.replace(/^The body /, '').replace(' at line 1,', ' at');
}

/** CR LF is one, and so is either alone. */
export function countLineEnds(bytes: Buffer): number {
  let lines = 0;
  for (let at = 0; at < bytes.length; at++) {
    const byte = bytes[at];
    if (byte === 10 || (byte === 13 && bytes[at + 1] !== 10)) lines++;
  }
  return lines;
}
