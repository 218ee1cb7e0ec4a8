import type { Fault } from './fault.ts';
import { freezeService, killService } from './nemesis/processes.ts';

/** All there are, in the order in which they are run. */
export const faults: readonly Fault[] = [killService, freezeService];
