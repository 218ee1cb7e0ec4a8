import type { Fault } from '../fault.ts';
import { overload } from './overload.fault.ts';
import { slowloris } from './slowloris.fault.ts';
import { connectionStorm } from './storm.fault.ts';

export const loadFaults: readonly Fault[] = [overload, slowloris, connectionStorm];
