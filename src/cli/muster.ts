import { StartError } from '../errors.ts';
import { CommandError, EXIT, parseCall } from './command.ts';
import { findCommand, overview } from './help.ts';

/** How soon after the first signal another is the same: npm passes on the Ctrl-C that the terminal sent to all of us. */
const SAME_SIGNAL_MS = 500;

/** The process: arguments, signals and an exit code around one command. */
async function main([name, ...args]: string[]): Promise<number> {
  if (name === undefined) throw new CommandError(EXIT.usage, overview());
  const command = findCommand(name === '--help' || name === '-h' ? 'help' : name);
  const call = parseCall(command, args);
  // What is written when nobody reads any more fails where it is waited for, or does not matter.
  for (const output of [process.stdout, process.stderr]) output.on('error', () => {});
  const signal = watchSignals();
  try {
    return await command.run({ ...call, signal });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EPIPE') return EXIT.unread;
    if (signal.aborted && !(error instanceof CommandError))
      throw new CommandError(EXIT.interrupted, 'Interrupted.');
    throw error;
  }
}

function watchSignals(): AbortSignal {
  const interrupt = new AbortController();
  let firstAt = 0;
  for (const name of ['SIGINT', 'SIGTERM'] as const) {
    process.on(name, () => {
      if (!interrupt.signal.aborted) firstAt = performance.now();
      else if (performance.now() - firstAt > SAME_SIGNAL_MS) process.exit(EXIT.interrupted);
      interrupt.abort();
    });
  }
  return interrupt.signal;
}

main(process.argv.slice(2))
  .catch((error) => {
    const isExpected = error instanceof CommandError || error instanceof StartError;
    console.error(isExpected ? error.message : error);
    if (error instanceof CommandError) return error.exitCode;
    return isExpected ? EXIT.usage : EXIT.bug;
  })
  .then((exitCode) => process.exit(exitCode));
