import { access, constants, open, realpath, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { type Readable, Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { type Call, CommandError, EXIT } from './command.ts';

/**
 * To be asked before the work: what is known already to make `writeOutput` fail.
 * Without `-s`, npm writes which script it runs to the same stdout: a file that begins with that is not what was asked for.
 */
export async function checkOutput(target: string | undefined, { config, stdout }: Call): Promise<void> {
  if (!isStdout(target))
    await access(dirname(target), constants.W_OK).catch((error) => {
      throw cannotWrite(target, error);
    });
  else if (config().isAfterNpmLines && stdout.isTTY !== true)
    throw new CommandError(
      EXIT.usage,
      'npm has written to stdout before: use -o FILE, or npm run -s muster -- …',
    );
}

function isStdout(target: string | undefined): target is '-' | undefined {
  return target === undefined || target === '-';
}

function cannotWrite(target: string, error: unknown): CommandError {
  return new CommandError(EXIT.usage, `${target} cannot be written: ${(error as Error).message}`);
}

/**
 * Writes all of `source` to the file `target`, or to stdout where that is `-` or not given. A file is written beside its
 * place and put there when it is whole, so that what breaks off leaves the old one.
 */
export async function writeOutput(target: string | undefined, source: Readable, call: Call): Promise<void> {
  const { signal } = call;
  try {
    if (isStdout(target)) await pipeline(source, call.stdout, { end: false, signal });
    else await writeFile(target, source, signal);
  } catch (error) {
    const { syscall, path, code } = error as NodeJS.ErrnoException;
    if (path === undefined && syscall !== 'write') throw error;
    if (isStdout(target) && code === 'EPIPE') throw error; // nobody reads any more
    throw cannotWrite(isStdout(target) ? 'stdout' : target, error);
  }
}

async function writeFile(target: string, source: Readable, signal: AbortSignal): Promise<void> {
  const there = await stat(target).catch(() => undefined);
  if (there !== undefined && !there.isFile()) {
    // A device or a pipe is written to; a file in its place would be a surprise.
    const file = await open(target, 'w');
    await pipeline(source, file.createWriteStream(), { signal });
    return;
  }
  const place = there === undefined ? target : await realpath(target);
  const partial = join(dirname(place), `.${basename(place)}.${process.pid}.partial`);
  const file = await open(partial, 'wx');
  try {
    await pipeline(source, writerTo(file), { signal });
    await file.sync();
    await file.close();
    await rename(partial, place);
  } catch (error) {
    await file.close();
    await rm(partial, { force: true });
    throw error;
  }
}

/** Leaves the file open, to be synced. */
function writerTo(file: Awaited<ReturnType<typeof open>>): Writable {
  return new Writable({
    highWaterMark: 1 << 18,
    write: (chunk: Uint8Array, _, done) => {
      file.writev([chunk]).then(() => done(), done);
    },
    writev: (chunks, done) => {
      file.writev(chunks.map(({ chunk }) => chunk as Uint8Array)).then(() => done(), done);
    },
  });
}
