import type { Fault } from '../fault.ts';
import { overload } from './overload.fault.ts';

export const loadFaults: readonly Fault[] = [overload];
