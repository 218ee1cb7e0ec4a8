import { execFileSync } from 'node:child_process';
import { availableParallelism } from 'node:os';

/** Where the server under measurement runs, alone. */
export const SERVER_CORE = 0;
/** Where all else runs: the load generator, this program and, where there is one, the database's own processes. */
export const OTHER_CORE = 1;

/**
 * Pins this process and all that it starts; a server is then put on its own core by `onServerCore`. A signal ends it
 * by way of its exit handlers, which end the servers and remove the databases.
 */
export function takeMachine(): void {
  endOnSignals();
  if (availableParallelism() < 2) throw new Error('the benchmark needs two cores: one for the server alone');
  try {
    execFileSync('taskset', ['-acp', String(OTHER_CORE), String(process.pid)]);
  } catch (error) {
    throw new Error('the benchmark pins processes with taskset (util-linux, Linux only)', { cause: error });
  }
}

/** For what is measured beside other work: the service, its database and a generator that sleeps share both cores. */
export function shareMachine(): void {
  endOnSignals();
  shared = true;
}

function endOnSignals(): void {
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));
}

let shared = false;

export function onServerCore(command: readonly string[]): [string, string[]] {
  const [program = '', ...args] = command;
  return shared ? [program, args] : ['taskset', ['-c', String(SERVER_CORE), ...command]];
}
