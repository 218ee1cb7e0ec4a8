import type { Fault } from './fault.ts';
import { loadFaults } from './load/faults.ts';
import { halfOpenClients, slowReaders } from './nemesis/clients.ts';
import { halfOpenDatabase, killBackends, killPostgres } from './nemesis/postgres.ts';
import { freezeService, killService } from './nemesis/processes.ts';
import { hostileReceivers } from './nemesis/receivers.ts';
import { storageFaults } from './storage/faults.ts';

/** All there are, in the order in which they are run. */
export const faults: readonly Fault[] = [
  killService,
  freezeService,
  killPostgres,
  killBackends,
  halfOpenDatabase,
  halfOpenClients,
  slowReaders,
  hostileReceivers,
  ...storageFaults,
  ...loadFaults,
];
