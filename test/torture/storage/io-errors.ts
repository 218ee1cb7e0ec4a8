import { rmSync } from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';
import { whyNoStart } from '../../../src/db/failures.ts';
import { StartError } from '../../../src/errors.ts';
import type { Outcome } from '../fault.ts';
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
import type { Control } from './shim.ts';

const { EIO, ENOSPC } = constants.errno;

/** How a call fails. */
const WAYS = [
  { error: EIO, lasts: false, torn: false },
  { error: ENOSPC, lasts: true, torn: false },
  { error: EIO, lasts: false, torn: true },
  { error: EIO, lasts: true, torn: true },
];

/** Without a fault a task ends within milliseconds; the runner comes back after one within 100. */
const PATIENCE_MS = 150;

/** A bit of everything that writes, one after the other, so that each time the calls are nearly the same. */
async function work(ledger: Ledger, directory: Directory, isDown: () => boolean): Promise<void> {
  const quiet = () => untilQuiet(directory, isDown() ? 10 : PATIENCE_MS);
  const email = (name: string) => `${name}@example.com`;
  await Promise.all(['a', 'b', 'c'].map((name) => ledger.create(email(name), { n: 0 })));
  await Promise.all([ledger.patch(email('a'), { n: 1 }), ledger.remove(email('c'))]);
  await ledger.steps('steps');
  await quiet();
  await ledger.import('import', 3);
  await quiet();
  await ledger.erase(email('b'));
  await quiet();
  await ledger.create(email('d'), { n: 0 });
}

/**
 * The first call to the disk fails, then the second, and so on until a whole run comes by without. Each time: what is
 * answered during it, what is there after it, after a kill at that moment, and after a restart.
 */
export async function ioErrors({ setting, control, folder, part, parts }: Hosted): Promise<Outcome> {
  const template = join(folder, 'template', 'muster.db');
  await (await openDirectory(template)).close();
  const figures = { 'acknowledged writes': 0, 'refused writes': 0, 'unconfirmed writes': 0 };
  const broken: string[] = [];
  const ways = setting.scale > 1 ? WAYS.map((_, way) => way) : [undefined];
  let rounds = 0;
  for (const chosen of ways) {
    for (let nth = 1 + part; ; nth += parts) {
      const way = WAYS[chosen ?? (nth + setting.seed) % WAYS.length] ?? WAYS[0];
      if (way === undefined) break;
      const round = await failNth(nth, way, { template, folder: join(folder, `${nth}`), control });
      rounds++;
      broken.push(...round.broken.map((what) => `call ${nth}, ${JSON.stringify(way)}: ${what}`));
      figures['acknowledged writes'] += round.counts.done;
      figures['refused writes'] += round.counts.refused;
      figures['unconfirmed writes'] += round.counts.unknown;
      rmSync(join(folder, `${nth}`), { recursive: true, force: true });
      if (!round.reached || broken.length > 10) break;
    }
  }
  const starts = await failStarts({ setting, control, folder, part, parts });
  broken.push(...starts.broken);
  return { rounds: rounds + starts.rounds, figures: { ...figures, 'first starts': starts.rounds }, broken };
}

/** In the short form so many of the calls of a first start fail, in the long one all. */
const STARTS = 60;

/** A first start, with all migrations, meets a fault: it ends with a clear word, and the next one begins well. */
async function failStarts({ setting, control, folder, part, parts }: Omit<Hosted, 'recording'>) {
  const broken: string[] = [];
  const path = join(folder, 'start', 'muster.db');
  control.set({ calls: 0 });
  await (await openDirectory(path)).close();
  const step = setting.scale > 1 ? 1 : Math.max(1, Math.floor(control.get('calls') / STARTS));
  let rounds = 0;
  for (let nth = 1 + (setting.seed % step) + part * step; broken.length < 10; nth += parts * step) {
    rmSync(join(folder, 'start'), { recursive: true, force: true });
    const way = WAYS[rounds % WAYS.length];
    if (way === undefined) break;
    control.arm(nth, way);
    const directory = await openDirectory(path).catch((error) => {
      if (!(error instanceof StartError) && whyNoStart(error) === undefined)
        broken.push(`no clear word: ${error.stack}`);
    });
    const reached = control.get('failed') > 0;
    await directory?.close();
    control.calm();
    rounds++;
    const found = await openDirectory(path).then(
      async (again) => {
        const ledger = new Ledger(again.send);
        await ledger.create('first@example.com');
        const what = [...ledger.broken, ...(await ledger.verify({ isOver: true }))];
        await again.close();
        return [...what, ...integrityOf(path)];
      },
      (error) => [`the next start: ${error.stack}`],
    );
    broken.push(...found.map((what) => `first start, call ${nth}, ${JSON.stringify(way)}: ${what}`));
    if (!reached) break;
  }
  return { rounds, broken };
}

interface Place {
  template: string;
  folder: string;
  control: Control;
}

async function failNth(nth: number, way: (typeof WAYS)[number], { template, folder, control }: Place) {
  const directory = await openDirectory(copyFiles(template, join(folder, 'work')));
  const ledger = new Ledger(directory.send);
  const broken = ledger.broken;
  const found = async (when: string, check: Promise<string[]>) => {
    const what = await check.catch((error) => [String(error)]);
    if (what.length > 0) broken.push(`${when}: ${what.join('; ')}`);
  };
  said.length = 0;
  control.arm(nth, way);
  await work(ledger, directory, () => way.lasts && control.get('failed') > 0);
  const reached = control.get('failed') > 0;
  await found('while it fails', ledger.verify({ isOver: false }));
  control.calm();
  await found('after it', ledger.verify({ isOver: false }));

  const killed = await openDirectory(copyFiles(directory.path, join(folder, 'killed')));
  await found('after a kill', afterRestart(ledger, killed));
  await untilOver(directory);
  await ledger.create('e@example.com');
  await found('when all has ended', ledger.verify({ isOver: true }));
  await directory.close();
  // That is a second start; after the kill there was one already.
  if (nth % 4 === 0) {
    const again = await openDirectory(directory.path);
    await found('after a restart', afterRestart(ledger, again));
  }
  if (broken.length > 0) broken.push(...said);
  return { reached, broken, counts: ledger.counts };
}

async function afterRestart(ledger: Ledger, directory: Directory): Promise<string[]> {
  await untilOver(directory);
  const broken = await ledger.against(directory.send).verify({ isOver: true });
  await directory.close();
  return [...broken, ...integrityOf(directory.path)];
}
