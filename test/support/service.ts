import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { Owner } from './owner.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));

/** Whatever a busy machine does to the event loop: only a test of refusals is to be refused. */
const UNHURRIED = { MAX_EVENT_LOOP_DELAY_MS: '0' };

/** A service in a process of its own. */
export interface Service {
  base: string;
  process: ChildProcess;
  /** All it has said so far, on both outputs. */
  output(): string;
  /** Waits until the output matches so many times. */
  said(pattern: RegExp, times?: number): Promise<void>;
  /** How it ends: the exit code, or the signal that ended it. */
  ended: Promise<number | NodeJS.Signals | null>;
  /** Sends a signal and waits for the end: the exit code, or the signal that ended it. */
  end(signal: NodeJS.Signals): Promise<number | NodeJS.Signals | null>;
}

/** Starts a service on a free port and waits until it answers; rejects with its output when it ends instead. */
export async function startService(
  owner: Owner,
  env: Record<string, string>,
  script = 'src/server.js',
  flags: readonly string[] = [],
): Promise<Service> {
  const service = spawnService(owner, env, script, flags);
  await Promise.race([
    service.said(/Muster is ready/),
    service.ended.then((code) => Promise.reject(new Error(`ended with ${code}: ${service.output()}`))),
  ]);
  const address = /"msg":"Muster is ready\. The docs are at (http:\/\/[^/]+)\/docs"/.exec(
    service.output(),
  )?.[1];
  if (address === undefined) throw new Error(`no address in ${service.output()}`);
  return Object.assign(service, { base: address });
}

/** Starts a service that is expected not to come up, and gives what it says and how it ends. */
export async function failService(owner: Owner, env: Record<string, string>) {
  const service = spawnService(owner, env);
  const code = await service.ended;
  return { code, output: service.output() };
}

function spawnService(
  owner: Owner,
  env: Record<string, string>,
  script = 'src/server.js',
  flags: readonly string[] = [],
) {
  // Through `env`, which becomes the service: the test runner would load its own hooks into a child that is Node.
  const child = spawn('env', ['-u', 'NODE_OPTIONS', process.execPath, ...flags, script], {
    cwd: ROOT,
    env: { PATH: process.env.PATH, PORT: '0', ...UNHURRIED, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  let waiting: { pattern: RegExp; times: number; resolve(): void }[] = [];
  const isThere = (pattern: RegExp, times: number) =>
    (output.match(new RegExp(pattern, 'g'))?.length ?? 0) >= times;
  const read = (chunk: Buffer) => {
    output += chunk;
    // Whoever knows need not be asked again: that is a look through all the output for each line of it.
    waiting = waiting.filter(({ pattern, times, resolve }) => {
      const isDone = isThere(pattern, times);
      if (isDone) resolve();
      return !isDone;
    });
  };
  child.stdout.on('data', read);
  child.stderr.on('data', read);
  const ended = once(child, 'close').then(
    ([code, signal]) => (code ?? signal) as number | NodeJS.Signals | null,
  );
  owner.teardown(async () => {
    child.kill('SIGKILL');
    await ended;
  });
  return {
    process: child,
    ended,
    output: () => output,
    said: (pattern: RegExp, times = 1) =>
      new Promise<void>((resolve) => {
        if (isThere(pattern, times)) resolve();
        else waiting.push({ pattern, times, resolve });
      }),
    async end(signal: NodeJS.Signals) {
      child.kill(signal);
      return ended;
    },
  };
}
