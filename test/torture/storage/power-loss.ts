import { copyFileSync, mkdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import type { Outcome } from '../fault.ts';
import { Random } from '../random.ts';
import {
  copyFiles,
  type Directory,
  integrityOf,
  openDirectory,
  said,
  untilOver,
  untilQuiet,
} from './directory.ts';
import type { Hosted } from './host.ts';
import { Ledger } from './ledger.ts';
import { Disk, readRecording } from './recording.ts';

/** What the client knew when the recording was so long. */
interface Moment {
  recorded: number;
  ledger: Ledger;
}

/** Power cuts that are tried, for each of the processes. */
const CUTS = 40;

/**
 * Records every write to the disk while clients work, and then rebuilds the files as a power cut could have left them,
 * at moments all over the recording. Each time: the log is the beginning of what it came to be, all that had been
 * acknowledged is there, nothing is half there, and what was under way goes on.
 */
export async function powerLoss(hosted: Hosted): Promise<Outcome> {
  const { setting, folder, recording, part, parts } = hosted;
  const random = new Random(setting.seed * 1000 + part);
  const template = join(folder, 'template', 'muster.db');
  await (await openDirectory(template)).close();
  const { moments, log } = await record(template, hosted, random);
  const calls = readRecording(recording);
  const cuts = Math.ceil((CUTS * 3 * setting.scale) / parts);
  const at = Array.from({ length: cuts }, () => random.between(0, calls.length - 1)).sort((a, b) => a - b);

  const broken: string[] = [];
  let acknowledged = 0;
  const disk = new Disk(readFileSync(template));
  for (const [nth, call] of calls.entries()) {
    for (; at[0] === nth && broken.length < 10; at.shift()) {
      const moment = moments.findLast(({ recorded }) => recorded <= (calls[nth - 1]?.end ?? 0));
      if (moment === undefined) continue;
      acknowledged += moment.ledger.sure;
      const cut = join(folder, 'cut', 'muster.db');
      mkdirSync(join(folder, 'cut'));
      disk.cut(cut, random);
      copyFileSync(`${template}-guard`, `${cut}-guard`);
      said.length = 0;
      const found = await look(cut, join(folder, 'plain'), moment.ledger, log).catch((error) => [
        String(error),
      ]);
      if (found.length > 0)
        broken.push(`cut before call ${nth} of ${calls.length}: ${found.join('; ')}`, ...said);
      for (const one of ['cut', 'plain']) rmSync(join(folder, one), { recursive: true, force: true });
    }
    disk.take(call);
  }
  const figures = {
    'calls recorded': calls.length,
    'fsyncs among them': calls.filter(({ op }) => op === 4).length,
    'acknowledged writes looked for': acknowledged,
  };
  return { rounds: cuts, figures, broken };
}

async function record(template: string, { folder, control, recording }: Hosted, random: Random) {
  const path = copyFiles(template, join(folder, 'work'));
  const moments: Moment[] = [];
  control.set({ recording: 1 });
  let directory = await openDirectory(path);
  let ledger = new Ledger(directory.send);
  const keep = (now: Ledger) =>
    void moments.push({ recorded: statSync(recording).size, ledger: now.against(now.send) });
  ledger.changed = keep;
  keep(ledger);
  for (let round = 0; round < 3; round++) {
    await work(ledger, directory, `r${round}`, random);
    await directory.close();
    directory = await openDirectory(path);
    ledger = ledger.against(directory.send);
    ledger.changed = keep;
  }
  control.set({ recording: 0 });
  await untilOver(directory);
  const broken = await ledger.verify({ isOver: true });
  await directory.close();
  if (broken.length > 0) throw new Error(broken.join('; '));
  return { moments, log: logOf(path) };
}

/** Enough that SQLite writes its journal back into the database more than once. */
async function work(ledger: Ledger, directory: Directory, name: string, random: Random): Promise<void> {
  const email = (at: number) => `${name}.${at}@example.com`;
  const attributes = (n: number) => ({ n, text: 'x'.repeat(random.between(0, 3000 - 1)) });
  for (let at = 0; at < 60; at += 6) {
    await Promise.all(Array.from({ length: 6 }, (_, one) => ledger.create(email(at + one), attributes(0))));
    const own = () => email(random.between(0, at + 6 - 1));
    const [patched, removed] = [own(), own()];
    await ledger.patch(patched, attributes(at));
    await ledger.remove(removed);
    if (at % 12 === 0) void ledger.steps(`${name}steps${at}`);
    if (at % 24 === 0) void ledger.import(`${name}import${at}`, 70, 'y'.repeat(random.between(0, 500 - 1)));
    if (at % 18 === 0) await ledger.erase(own());
  }
  await untilQuiet(directory, 5000);
}

async function look(cut: string, plain: string, ledger: Ledger, log: readonly string[]): Promise<string[]> {
  const copy = copyFiles(cut, plain);
  const broken = integrityOf(copy);
  const found = logOf(copy);
  if (found.some((change, at) => change !== log[at]))
    broken.push('the log is not the beginning of what it was');
  const directory = await openDirectory(cut);
  try {
    broken.push(...(await ledger.against(directory.send).verify({ isOver: false })));
    await untilOver(directory);
    broken.push(...(await ledger.against(directory.send).verify({ isOver: true })));
  } finally {
    await directory.close();
  }
  return [...broken, ...integrityOf(cut)];
}

/** Each change in a line. What they say of a user is not compared: an erasure takes it away. */
function logOf(path: string): string[] {
  const database = new Database(path, { readonly: true });
  try {
    return database
      .prepare<[], string>(
        `select position || ' ' || user_id || ' ' || version from changes order by position`,
      )
      .pluck()
      .all();
  } finally {
    database.close();
  }
}
