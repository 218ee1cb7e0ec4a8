import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { Test } from 'tap';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));

/** A command in a process of its own, as a script runs it. */
export interface Running {
  process: ChildProcess;
  stdout(): string;
  stderr(): string;
  /** Waits until it has said this, on either output. */
  said(pattern: RegExp): Promise<void>;
  ended: Promise<number | NodeJS.Signals | null>;
}

interface Options {
  env?: Record<string, string>;
  input?: string;
  /** What runs it, rather than Node. */
  command?: readonly string[];
}

/** Starts `npm run muster -- …` without npm. Its stdin is open unless `input` is given. */
export function startCommand(test: Test, args: readonly string[], options: Options = {}): Running {
  const command = options.command ?? [process.execPath, 'src/cli/muster.ts'];
  // Through `env`, which becomes the command: the test runner would load its own hooks into a child that is Node.
  const child = spawn('env', ['-u', 'NODE_OPTIONS', ...command, ...args], {
    cwd: ROOT,
    env: { PATH: process.env.PATH, HOME: process.env.HOME, ...options.env },
    stdio: 'pipe',
  });
  const outputs = { stdout: '', stderr: '' };
  let waiting: (() => void)[] = [];
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].setEncoding('utf8').on('data', (chunk) => {
      outputs[name] += chunk;
      for (const resolve of waiting.splice(0)) resolve();
    });
  }
  child.stdin.on('error', () => {}); // it may end before it has read
  if (options.input !== undefined) child.stdin.end(options.input);
  const ended = once(child, 'close').then(([code, signal]) => code ?? signal);
  void ended.then(() => {
    for (const resolve of waiting.splice(0)) resolve();
    waiting = [];
  });
  test.teardown(async () => {
    child.kill('SIGKILL');
    await ended;
  });
  return {
    process: child,
    ended,
    stdout: () => outputs.stdout,
    stderr: () => outputs.stderr,
    async said(pattern) {
      while (!pattern.test(outputs.stdout + outputs.stderr)) {
        if (child.exitCode !== null) throw new Error(`ended without ${pattern}: ${JSON.stringify(outputs)}`);
        await new Promise<void>((resolve) => waiting.push(resolve));
      }
    },
  };
}

/** Runs a command to its end. */
export async function runCommand(test: Test, args: readonly string[], options: Options = {}) {
  const running = startCommand(test, args, { input: '', ...options });
  const code = await running.ended;
  return { code, stdout: running.stdout(), stderr: running.stderr() };
}
