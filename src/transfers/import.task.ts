import { setImmediate as turn } from 'node:timers/promises';
import type { Tx } from '../db/tx.ts';
import { valueChecker } from '../http/validation.ts';
import { defineTask, PermanentFailure, type TaskContext, type TaskKind } from '../tasks/kinds.ts';
import { NewUser } from '../users/users.schemas.ts';
import { ahead } from './ahead.ts';
import { type Accepted, applyRows, type Judged, type OnConflict } from './apply.ts';
import { readCells, readColumns } from './columns.ts';
import { bomLength, csvFormat, readHeader } from './csv.ts';
import { ndjson } from './ndjson.ts';
import { Pace } from './pace.ts';
import { insertRefused } from './refused.ts';
import { countLineEnds, type Place, type Row, type RowFormat, readRows, reasonOf } from './rows.ts';
import { SeenEmails } from './seen.ts';
import { isUnchanged, openSource, type Source } from './source.ts';
import { ImportInput } from './transfers.schemas.ts';
import type { Format } from './upload.entity.ts';
import { removeAllBlocks } from './uploads.ts';

interface Input {
  format: Format;
  onConflict: OnConflict;
  dryRun: boolean;
}

export interface Counts {
  created: number;
  updated: number;
  unchanged: number;
  skipped: number;
  refused: number;
}

interface Checkpoint {
  place: Place;
  counts: Counts;
  /** Nothing of the file is needed any more, nor perhaps there. */
  isRead?: true;
}

/**
 * Rows in one transaction. While nobody else asks it is as large as pays: a commit costs the same whatever is in it. While
 * others are served it is small, since on SQLite every other write waits for it.
 */
const PACE = {
  sqlite: { busy: 10, quiet: 1000, rest: 6 },
  postgresql: { busy: 10, quiet: 500, rest: 6 },
};

/**
 * Reads the file that was uploaded for this task, and makes of its rows users as `POST /users` would. The users, their
 * changes, the rows that were refused and how far it has come are committed together, so that it goes on exactly where it
 * was, on any replica. A dry run writes but the refused rows; it begins anew, because it knows what it has seen.
 */
export function importOf(
  formats: Record<string, (value: string) => boolean>,
  isBusy: () => boolean,
): TaskKind<Input> {
  const check = valueChecker(formats, [], { allErrors: true })(NewUser, []);
  return defineTask({
    kind: 'import',
    scope: 'users:write',
    description: 'Creates or changes users as a file says that was sent to `POST /users/import`.',
    input: ImportInput,
    maxAttempts: 20, // an hour of a database that comes and goes
    async run(context) {
      const source = await openSource(context.tasks.reader, context.id);
      const kept = context.checkpoint as Checkpoint | undefined;
      if (kept?.isRead) report(context, source, source.bytes, kept.counts);
      const counts = kept?.isRead ? kept.counts : await importRows(context, source, { check, isBusy });
      await removeAllBlocks(context.write, source.id);
      return counts;
    },
  });
}

async function importRows(
  context: TaskContext<Input>,
  opened: Source,
  { check, isBusy }: { check: Check; isBusy: () => boolean },
): Promise<Counts> {
  const { input, signal } = context;
  const kept = input.dryRun ? undefined : (context.checkpoint as Checkpoint | undefined);
  const { format, start } = await openFormat(opened);
  const options = { ...input, actor: context.actor };
  let counts = kept?.counts ?? { created: 0, updated: 0, unchanged: 0, skipped: 0, refused: 0 };
  const seen = new SeenEmails();
  let place = kept?.place ?? start;
  const pace = new Pace(isBusy, PACE[context.tasks.reader.dialect]);
  // The next batch is read and judged while the one before it is with the database.
  const readOn = (from: Source) => ahead(judged(inBatches(readRows(from, format, place), pace), check));
  let source = opened;
  let batches = readOn(source);
  for (let next = await batches.next(); !next.done; next = await batches.next()) {
    const batch = next.value;
    signal.throwIfAborted();
    const begun = performance.now();
    const applied = await saved(context, async (tx) => {
      if (!(await isUnchanged(tx, source))) return [undefined, { place, counts } satisfies Checkpoint];
      const applied = await applyRows(tx, batch, options, seen);
      await insertRefused(tx, context.id, applied.refused);
      const reached = { place: applied.place ?? place, counts: addCounts(counts, applied.outcomes) };
      return [applied, reached satisfies Checkpoint];
    });
    if (applied === undefined) {
      // A new source: what the old one is just reading must not come into it.
      source = await openSource(context.tasks.reader, context.id);
      batches = readOn(source);
      continue;
    }
    place = applied.place ?? place; // only now: what was undone with others has run again, and may have come less far
    counts = addCounts(counts, applied.outcomes);
    for (const email of applied.emails) seen.add(email);
    report(context, source, place.offset, counts);
    if (applied.conflict !== undefined) throw conflictAt(applied.conflict.row.line, counts, input.dryRun);
    await pace.rest(performance.now() - begun, signal);
  }
  report(context, source, source.bytes, counts);
  await context.save(async () => ({ place, counts, isRead: true }) satisfies Checkpoint);
  return counts;
}

/** A transaction costs the same whatever is in it, so each is full. */
async function* inBatches(pieces: AsyncIterable<Row[]>, pace: Pace): AsyncGenerator<Row[]> {
  const held: Row[] = [];
  for await (const rows of pieces) {
    held.push(...rows);
    for (let many = pace.size; held.length >= many; many = pace.size) yield held.splice(0, many);
    await turn(); // what has come meanwhile goes first
  }
  if (held.length > 0) yield held;
}

/** What has come meanwhile goes first. */
async function* judged(batches: AsyncGenerator<Row[]>, check: Check): AsyncGenerator<Judged[]> {
  for (;;) {
    await turn();
    const { done, value } = await batches.next();
    if (done) return;
    yield value.map((row) => judge(row, check));
  }
}

/** `save`, for a work that gives more than the checkpoint; of a dry run, which begins anew, that would be none. */
async function saved<T>(
  { input, save, write }: TaskContext<Input>,
  work: (tx: Tx) => Promise<[value: T, checkpoint: unknown]>,
): Promise<T> {
  let last: T | undefined;
  await (input.dryRun ? write : save)(async (tx) => {
    const [value, checkpoint] = await work(tx);
    last = value;
    return checkpoint;
  });
  return last as T;
}

async function openFormat(source: Source): Promise<{ format: RowFormat; start: Place }> {
  const { header } = source;
  if (source.format === 'csv' && header !== null) {
    const columns = readColumns((await readHeader(header, true)).cells);
    const format = await csvFormat((cells) => readCells(columns, cells));
    return { format, start: { offset: header.length, line: 1 + countLineEnds(header) } };
  }
  const first = await source.read(0, 3);
  return { format: ndjson, start: { offset: bomLength(first), line: 1 } };
}

type Check = (value: unknown) => { pointer: string; detail: string }[];

function judge(row: Row, check: Check): Judged {
  if (row.reason !== undefined) return { row, reason: row.reason };
  const faults = check(row.user);
  if (faults.length > 0) return { row, reason: reasonOf({ message: '', faults: faults as never }) };
  return { row, user: row.user as Accepted };
}

function addCounts(counts: Counts, outcomes: readonly (keyof Counts)[]): Counts {
  const sum = { ...counts };
  for (const outcome of outcomes) sum[outcome]++;
  return sum;
}

function doneOf(counts: Counts): number {
  return Object.values(counts).reduce((sum, one) => sum + one, 0);
}

/** How many rows there will be is an estimate by the bytes, until the end. */
function report({ progress }: TaskContext<Input>, { bytes }: Source, offset: number, counts: Counts): void {
  const done = doneOf(counts);
  const total = offset >= bytes ? done : Math.round((done * bytes) / offset);
  progress(done, total, { bytes: offset, totalBytes: bytes, counts: { ...counts } });
}

function conflictAt(line: number, counts: Counts, dryRun: boolean): PermanentFailure {
  const done = Object.entries(counts).map(([name, many]) => `${many} ${name}`);
  const rows = `with the ${doneOf(counts)} rows before it`;
  const so = dryRun ? `A dry run writes no user; ${rows} would be done` : `What was done ${rows} stays`;
  return new PermanentFailure(
    `Line ${line}: another user has this email. ${so}: ${done.join(', ')}.`,
    'email-taken',
  );
}
