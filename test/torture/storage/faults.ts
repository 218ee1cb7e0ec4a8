import type { Fault } from '../fault.ts';
import { runHosted } from './hosting.ts';

export const storageFaults: readonly Fault[] = [
  {
    name: 'io-errors',
    what: 'an I/O error (EIO, ENOSPC; once or lasting; also half written) at the N-th call to the disk, for every N',
    databases: ['sqlite'],
    run: (setting) => runHosted('ioErrors', setting, 3),
  },
];
