import { closeSync, fdatasyncSync, mkdirSync, openSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';

const WRITES = 50;

/**
 * What one small durable write takes in this folder now (µs, the median of 50): the price that every commit pays, and
 * what tells a slow server from a disk that others keep busy.
 */
export function durableWriteMicros(folder: string): number {
  mkdirSync(folder, { recursive: true });
  const path = join(folder, 'probe');
  const file = openSync(path, 'w');
  const block = Buffer.alloc(4096, 1);
  const times: number[] = [];
  for (let count = 0; count < WRITES; count++) {
    const from = performance.now();
    writeSync(file, block);
    fdatasyncSync(file);
    times.push((performance.now() - from) * 1000);
  }
  closeSync(file);
  rmSync(path);
  return times.sort((a, b) => a - b)[WRITES / 2] ?? Number.NaN;
}
