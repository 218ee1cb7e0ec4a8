import type { Fault } from '../fault.ts';
import { clockJumps } from './clock.ts';
import { diskFull } from './disk-full.ts';
import { runHosted } from './hosting.ts';
import { noPermission } from './no-permission.ts';

export const storageFaults: readonly Fault[] = [
  {
    name: 'io-errors',
    what: 'an I/O error (EIO, ENOSPC; once or lasting; also half written) at the N-th call to the disk, for every N',
    databases: ['sqlite'],
    run: (setting) => runHosted('ioErrors', setting, 3),
  },
  {
    name: 'power-loss',
    what: 'the files rebuilt as a power cut could have left them: what was synced, and any sectors of what was not',
    databases: ['sqlite'],
    run: (setting) => runHosted('powerLoss', setting, 3),
  },
  {
    name: 'disk-full',
    what: 'a disk that is full, and then not, in an import, an erasure, a load of creates and tasks, and at a start',
    databases: ['sqlite'],
    run: diskFull,
  },
  {
    name: 'clock-jumps',
    what: 'the wall clock of a replica jumps by an hour, forwards and backwards, under tasks, feeds, webhooks and keys',
    databases: ['sqlite', 'postgresql'],
    run: clockJumps,
  },
  {
    name: 'broken-files',
    what: 'files that are spoiled at random places, cut off, missing, emptied, those of somebody else, or not to be read',
    databases: ['sqlite'],
    async run(setting) {
      const outcome = await runHosted('brokenFiles', setting, 3);
      const { broken, skipped = 'tried' } = await noPermission();
      const figures = { ...outcome.figures, 'files without permission': skipped };
      return { ...outcome, figures, broken: [...outcome.broken, ...broken] };
    },
  },
];
