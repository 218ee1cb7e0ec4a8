import { isUtf8 } from 'node:buffer';
import { readJson } from '../db/json.ts';
import type { Reader } from '../db/reader.ts';
import type { Tx } from '../db/tx.ts';
import { bomLength } from './csv.ts';
import { withoutLineEnd } from './ndjson.ts';
import type { Row } from './rows.ts';
import type { Format } from './upload.entity.ts';

/** Keeps rows that were refused. A dry run that begins anew meets them again. */
export async function insertRefused(
  tx: Tx,
  taskId: number,
  refused: readonly { row: Row; reason: string }[],
): Promise<void> {
  for (const { row, reason } of refused) {
    tx.changed();
    await tx.execute(
      'insert into import_errors (task_id, line, reason, row) values (?, ?, ?, ?) on conflict do nothing',
      [taskId, row.line, reason, row.raw],
    );
  }
}

interface RefusedRow {
  line: number;
  reason: string;
  row: Buffer;
}

/** By bytes as well: a row may be as long as 256 KiB. */
const PAGE_ROWS = 50;

/**
 * The rows that an import has refused, in the format in which they were sent, so that they can be mended and sent again:
 * `muster-line` and `muster-reason` beside each row are for people, and an import does not use them.
 */
export async function* refusedRows(
  reader: Reader,
  taskId: number,
  format: Format,
  header: Buffer | null,
): AsyncGenerator<Buffer> {
  let wasNoted = false;
  if (format === 'csv' && header !== null) {
    const names = withoutLineStart(withoutLineEnd(header.subarray(bomLength(header))));
    const own = behind(CSV_NOTES_HEADER, names);
    wasNoted = own.length < names.length;
    yield Buffer.concat([Buffer.from('muster-line,muster-reason,'), own, CRLF]);
  }
  const csvRow = (one: RefusedRow) => csvRowOf(one, wasNoted);
  for (let after = 0; ; ) {
    const page = await reader.read<RefusedRow>(
      'select line, reason, row from import_errors where task_id = ? and line > ? order by line limit ?',
      [taskId, after, PAGE_ROWS],
    );
    const last = page.at(-1);
    if (last === undefined) return;
    yield Buffer.concat(page.flatMap(format === 'csv' ? csvRow : ndjsonRow));
    after = last.line;
  }
}

const CRLF = Buffer.from('\r\n');

/** The row byte by byte, behind two cells; in the place of those that stand there when it was sent again. */
function csvRowOf({ line, reason, row }: RefusedRow, wasNoted: boolean): Buffer[] {
  const own = wasNoted ? behind(CSV_NOTES, row) : row;
  return [Buffer.from(`${line},"${reason.replaceAll('"', '""')}",`), own, CRLF];
}

const CSV_NOTES_HEADER = /^"?muster-line"?,"?muster-reason"?,/i;
const CSV_NOTES = /^(?:(?:"[^"]*(?:""[^"]*)*"|[^",]*),){2}/;

function behind(notes: RegExp, bytes: Buffer): Buffer {
  return bytes.subarray(notes.exec(bytes.toString('latin1'))?.[0].length ?? 0);
}

/** The members of an object as they were sent, behind two; what is none, or no JSON at all, as a text in a member. */
function ndjsonRow({ line, reason, row }: RefusedRow): Buffer[] {
  const start = `{"muster-line":${line},"muster-reason":${JSON.stringify(reason)}`;
  const text = isUtf8(row) ? row.toString() : undefined;
  const members = text === undefined ? undefined : /^\s*\{(.*)\}\s*$/s.exec(text)?.[1]?.replace(NOTES, '');
  if (members !== undefined && isJson(`{${members}}`)) {
    return [Buffer.from(`${start}${members.trim() === '' ? '' : ','}${members}}\n`)];
  }
  const given = text === undefined ? ['muster-bytes', row.toString('base64')] : ['muster-row', text];
  return [Buffer.from(`${start},${given.map((one) => JSON.stringify(one)).join(':')}}\n`)];
}

/** What stands here already when a row is sent and refused again: a name may be given once. */
const NOTES = /^\s*"muster-line"\s*:\s*\d+\s*,\s*"muster-reason"\s*:\s*"(?:[^"\\]|\\.)*"\s*,?/;

function isJson(text: string): boolean {
  try {
    readJson(text);
    return true;
  } catch {
    return false;
  }
}

/** Empty lines before the header are none of its. */
function withoutLineStart(bytes: Buffer): Buffer {
  const from = bytes.findIndex((byte) => byte !== 0x0a && byte !== 0x0d);
  return from < 0 ? bytes : bytes.subarray(from);
}
