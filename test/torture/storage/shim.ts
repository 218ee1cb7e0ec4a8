import { execFile } from 'node:child_process';
import { openSync, readSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);
const SOURCE = fileURLToPath(new URL('shim.c', import.meta.url));

/** The fields of `struct control` in shim.c, 8 bytes each. */
const FIELDS = ['failing', 'countdown', 'error', 'torn', 'calls', 'failed', 'clockMs', 'recording'] as const;
type Field = (typeof FIELDS)[number];

/** Compiles the shim into this folder and gives its path; undefined where there is no C compiler. */
export async function compileShim(folder: string): Promise<string | undefined> {
  const shim = join(folder, 'shim.so');
  try {
    await run('gcc', ['-shared', '-fPIC', '-O2', '-Wall', '-Werror', '-o', shim, SOURCE, '-ldl']);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  return shim;
}

/** What a process with the shim is told, and tells, through the file that both have. */
export class Control {
  readonly #fd: number;

  constructor(path: string, { isNew = false } = {}) {
    if (isNew) writeFileSync(path, Buffer.alloc(8 * FIELDS.length));
    this.#fd = openSync(path, 'r+');
  }

  get(field: Field): number {
    const bytes = Buffer.alloc(8);
    readSync(this.#fd, bytes, 0, 8, 8 * FIELDS.indexOf(field));
    return Number(bytes.readBigInt64LE());
  }

  set(fields: Partial<Record<Field, number>>): void {
    for (const [field, value] of Object.entries(fields)) {
      const bytes = Buffer.alloc(8);
      bytes.writeBigInt64LE(BigInt(value));
      writeSync(this.#fd, bytes, 0, 8, 8 * FIELDS.indexOf(field as Field));
    }
  }

  /** From now on the `nth` call fails, or it and all after it, until `calm()`. */
  arm(nth: number, { error, lasts, torn }: { error: number; lasts: boolean; torn: boolean }): void {
    this.set({ failing: 0, calls: 0, failed: 0, countdown: nth, error, torn: Number(torn) });
    this.set({ failing: lasts ? 2 : 1 });
  }

  calm(): void {
    this.set({ failing: 0 });
  }
}
