import { ERASED, type Person } from '../db/personal.ts';
import { isSqlite } from '../db/statement.ts';
import type { Tx } from '../db/tx.ts';

const ROWS = 500;
const BLANK = 'x';

/*
 * Removes a person from files that wait to be imported and from refused rows, one window of them after the other. In the
 * lines that name their email (of refused rows, or their name) all that is known of them is overwritten letter by letter,
 * so that every other row stays where it is; a line of theirs that is still to be imported is then refused, because its
 * email is none. PostgreSQL locks a window: what another erasure removes meanwhile would else be written back.
 */

/**
 * What they are called may stand across two blocks, so each is looked through with the one that follows it. Whoever has
 * rows of the file in memory is told by `touched_at` that they are not as it says any more: see `isUnchanged`.
 */
export async function eraseFromFiles(
  tx: Tx,
  person: Person,
  after = { upload: 0, block: -1 },
): Promise<{ upload: number; block: number } | undefined> {
  const { upload, block } = after;
  const [one, two] = await tx.execute<{ upload_id: number; n: number; bytes: Buffer }>(
    `select upload_id, n, bytes from upload_blocks where upload_id > ? or (upload_id = ? and n > ?)
     order by upload_id, n limit 2 ${forUpdate(tx)}`,
    [upload, upload, block],
  );
  if (one === undefined) return undefined;
  const both = two?.upload_id === one.upload_id ? [one, two] : [one];
  const bytes = Buffer.concat(both.map((each) => each.bytes));
  if (overwrite(bytes, termsOf(person.emails, person))) {
    tx.changed();
    let from = 0;
    for (const each of both) {
      const blanked = bytes.subarray(from, from + each.bytes.length);
      from += each.bytes.length;
      await tx.execute('update upload_blocks set bytes = ? where upload_id = ? and n = ?', [
        blanked,
        each.upload_id,
        each.n,
      ]);
    }
    const later = isSqlite(tx.em) ? '1' : `interval '1 millisecond'`; // never the same twice, whatever clocks say
    await tx.execute(`update uploads set touched_at = touched_at + ${later} where id = ?`, [one.upload_id]);
  }
  return { upload: one.upload_id, block: one.n };
}

export async function eraseFromRefused(
  tx: Tx,
  person: Person,
  after = { task: 0, line: 0 },
): Promise<{ task: number; line: number } | undefined> {
  const terms = termsOf([...person.emails, ...person.names], person); // there it is often the email that is broken
  const { task, line } = after;
  const rows = await tx.execute<{ task_id: number; line: number; reason: string; row: Buffer }>(
    `select task_id, line, reason, row from import_errors where task_id > ? or (task_id = ? and line > ?)
     order by task_id, line limit ? ${forUpdate(tx)}`,
    [task, task, line, ROWS],
  );
  for (const refused of rows) {
    const row = Buffer.from(refused.row);
    const isNamed = overwrite(Buffer.from(refused.reason), terms);
    if (!overwrite(row, terms) && !isNamed) continue;
    tx.changed();
    await tx.execute('update import_errors set row = ?, reason = ? where task_id = ? and line = ?', [
      row,
      isNamed ? ERASED : refused.reason,
      refused.task_id,
      refused.line,
    ]);
  }
  const last = rows.at(-1);
  return last === undefined ? undefined : { task: last.task_id, line: last.line };
}

function forUpdate(tx: Tx): string {
  return isSqlite(tx.em) ? '' : 'for update';
}

interface Terms {
  /** What a row is theirs by. */
  marks: string[];
  /** What is overwritten in such a row. */
  all: string[];
}

/** As a file may write them: as they are, in CSV's quotes, and in JSON. Each byte is a letter, small where it is ASCII. */
function termsOf(marks: readonly string[], { emails, names, values }: Person): Terms {
  const ways = (texts: readonly string[]) => [
    ...new Set(
      texts.flatMap((text) => {
        const json = JSON.stringify(text).slice(1, -1);
        return [text, text.replaceAll('"', '""'), json, json.replaceAll('"', '""')].map((way) =>
          small(Buffer.from(way)),
        );
      }),
    ),
  ];
  const known = [...emails, ...names, ...values].filter((text) => text.length >= 3); // shorter ones are everywhere
  // Where an email is overwritten already, the line's other block may not be, nor what is known by now.
  const blanked = ways(emails).map((way) => BLANK.repeat(way.length));
  return { marks: [...new Set([...ways(marks), ...blanked])], all: ways(known) };
}

function small(bytes: Buffer): string {
  return bytes.toString('latin1').replace(/[A-Z]/g, (letter) => letter.toLowerCase());
}

/** Overwrites them in the lines that are theirs, and says whether it has. Others may have the same values. */
function overwrite(bytes: Buffer, { marks, all }: Terms): boolean {
  const text = small(bytes);
  let found = false;
  for (const mark of marks) {
    for (const at of placesOf(text, mark)) {
      const from = text.lastIndexOf('\n', at) + 1;
      const end = text.indexOf('\n', at);
      const line = text.slice(from, end < 0 ? text.length : end);
      for (const term of all) {
        for (const place of placesOf(line, term)) {
          bytes.fill(BLANK, from + place, from + place + term.length);
          found = true;
        }
      }
    }
  }
  return found;
}

/** Where a term stands by itself: `ada@example.com` is not in `nada@example.com`. */
function* placesOf(text: string, term: string): Generator<number> {
  for (let at = text.indexOf(term); at >= 0; at = text.indexOf(term, at + 1)) {
    if (!LETTER.test(text[at - 1] ?? '') && !LETTER.test(text[at + term.length] ?? '')) yield at;
  }
}

const LETTER = /[a-z0-9._%+\x80-\xff-]/;
