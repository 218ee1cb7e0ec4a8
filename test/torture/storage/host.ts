import type { Outcome, Setting } from '../fault.ts';
import { brokenFiles } from './broken-files.ts';
import { ioErrors } from './io-errors.ts';
import { powerLoss } from './power-loss.ts';
import { Control } from './shim.ts';

/*
 * The process that the shim is loaded into: it runs one fault against services within itself, and prints the outcome as
 * its last line.
 */

export interface Hosted {
  setting: Setting;
  control: Control;
  /** For its files; whatever is in it the shim watches. */
  folder: string;
  /** Where the shim records. */
  recording: string;
  /** Which part of the rounds this process does, and of how many. */
  part: number;
  parts: number;
}

const FAULTS: Record<string, (hosted: Hosted) => Promise<Outcome>> = { brokenFiles, ioErrors, powerLoss };

const { SHIM_CONTROL = '', SHIM_FOLDER = '', SHIM_RECORDING = '', FAULT = '{}' } = process.env;
const uncaught: string[] = [];
for (const event of ['uncaughtException', 'unhandledRejection'])
  process.on(event, (error: unknown) => {
    if (uncaught.push(`nobody caught ${error instanceof Error ? error.stack : error}`) > 5) process.exit(1);
  });
const { fault, setting, ...parts } = JSON.parse(FAULT);
const run = FAULTS[fault];
if (run === undefined) throw new Error(`no fault ${fault}`);
const outcome = await run({
  ...parts,
  setting: { ...setting, log: (line: string) => console.log(line) },
  control: new Control(SHIM_CONTROL),
  folder: SHIM_FOLDER,
  recording: SHIM_RECORDING,
});
outcome.broken.push(...uncaught);
console.log(JSON.stringify(outcome));
process.exit(0);
