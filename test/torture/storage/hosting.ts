import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Outcome, Setting } from '../fault.ts';
import { Control, compileShim } from './shim.ts';

const HOST = fileURLToPath(new URL('host.ts', import.meta.url));

/** What a fault says where it cannot be made. */
export function skipped(why: string): Outcome {
  return { rounds: 0, figures: { skipped: why }, broken: [] };
}

/**
 * Runs a fault in processes of its own, with the shim between them and the disk. Each does its part of the rounds: a
 * good deal of the time is spent waiting.
 */
export async function runHosted(fault: string, setting: Setting, parts = 1): Promise<Outcome> {
  const folder = await mkdtemp(join(tmpdir(), 'muster-torture-'));
  try {
    const shim = await compileShim(folder);
    if (shim === undefined) return skipped('there is no C compiler (gcc)');
    const outcomes = Array.from({ length: parts }, (_, part) => {
      const own = join(folder, `${part}`);
      mkdirSync(own);
      return runPart(fault, setting, { shim, folder: own, part, parts });
    });
    return (await Promise.all(outcomes)).reduce(sum);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

interface Part {
  shim: string;
  folder: string;
  part: number;
  parts: number;
}

async function runPart(
  fault: string,
  { log, ...setting }: Setting,
  { shim, folder, part, parts }: Part,
): Promise<Outcome> {
  const watched = join(folder, 'watched');
  const control = join(folder, 'control');
  mkdirSync(watched);
  new Control(control, { isNew: true });
  const child = spawn(process.execPath, [HOST], {
    env: {
      PATH: process.env.PATH,
      LD_PRELOAD: shim,
      SHIM_CONTROL: control,
      SHIM_FOLDER: watched,
      SHIM_RECORDING: join(folder, 'recording'),
      FAULT: JSON.stringify({ fault, setting, part, parts }),
    },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = once(child, 'exit');
  let last = '';
  for await (const line of createInterface(child.stdout)) {
    if (last !== '') log(last);
    last = line;
  }
  const [code, signal] = await ended;
  if (code === 0) return JSON.parse(last) as Outcome;
  return { rounds: 0, figures: {}, broken: [`its process ended with ${code ?? signal}: ${last}`] };
}

function sum(one: Outcome, other: Outcome): Outcome {
  const figures = { ...one.figures };
  for (const [name, figure] of Object.entries(other.figures)) {
    const before = figures[name];
    figures[name] = typeof figure === 'number' && typeof before === 'number' ? before + figure : figure;
  }
  return { rounds: one.rounds + other.rounds, figures, broken: [...one.broken, ...other.broken] };
}
