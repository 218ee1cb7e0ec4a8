import { randomUUID } from 'node:crypto';
import { open, stat } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { type Call, type Command, CommandError, EXIT, readWholeNumber } from './command.ts';
import { checkOutput, writeOutput } from './output.ts';
import { inUnit, Progress } from './progress.ts';
import { Away, patiently, Service } from './service.ts';
import { COUNTS, followTask, type Task, type TaskProgress } from './task.ts';

export const FORMATS: Record<string, string> = { csv: 'text/csv', ndjson: 'application/x-ndjson' };

/** By what the file is called. */
export function formatOf(file = ''): string {
  return /\.(ndjson|jsonl)$/i.test(file) ? 'ndjson' : 'csv';
}

export const importUsers: Command = {
  name: 'import',
  args: 'FILE',
  help: 'takes in the people of a CSV or NDJSON file, of stdin if it is -',
  options: {
    'on-conflict': {
      value: 'WHAT',
      oneOf: ['skip', 'update', 'fail'],
      help: 'what to do with a person whose email is there',
    },
    'dry-run': { help: 'only says what would happen' },
    format: { value: 'FORMAT', oneOf: Object.keys(FORMATS), help: 'if the name of the file does not say it' },
    errors: { value: 'FILE', help: 'where to write the refused rows, to be mended and sent again' },
    patience: { value: 'SECONDS', help: 'for how long the service may be away while the task runs (60)' },
  },
  async run(call) {
    const patienceMs = readWholeNumber('--patience', call.options.patience ?? '60', 1e9) * 1000;
    const service = new Service(call);
    if (call.options.errors !== undefined) {
      await checkOutput(call.options.errors, call);
      await checkOther(call.args[0], call.options.errors);
    }
    const id = await upload(call, service, patienceMs);
    const progress = new Progress(call.stderr, 'importing');
    const onProgress = ({ done, total, bytes, totalBytes }: TaskProgress) => {
      const part = totalBytes && bytes !== undefined ? bytes / totalBytes : total ? done / total : undefined;
      progress.update({ done, unit: 'rows', ...(part !== undefined && { part: Math.min(part, 1) }) });
    };
    const task = await followTask(service, id, { ...call, patienceMs, onProgress })
      .catch((error) => {
        if (!(error instanceof CommandError)) throw error;
        throw new CommandError(error.exitCode, `${error.message}\nTask ${id} may go on there without us.`);
      })
      .finally(() => progress.end());
    call.stderr.write(`${summary(task, call)}\n`);
    const refused = task.result?.refused ?? 0;
    if (call.options.errors !== undefined) await writeErrors(call, service, id, call.options.errors);
    else if (refused > 0)
      call.stderr.write(
        `The refused rows: npm run -s muster -- errors ${id} > refused.${formatName(call)}\n`,
      );
    if (call.signal.aborted) return EXIT.interrupted;
    if (task.state !== 'succeeded') return EXIT.taskFailed;
    return refused > 0 ? EXIT.refusedRows : EXIT.done;
  },
};

export const errors: Command = {
  name: 'errors',
  args: 'TASK',
  help: 'writes the rows that an import refused, in the format of its file',
  options: { output: { short: 'o', value: 'FILE', help: 'where to, rather than to stdout' } },
  async run(call) {
    const id = readWholeNumber('TASK', call.args[0] ?? '', Number.MAX_SAFE_INTEGER);
    await checkOutput(call.options.output, call);
    await writeErrors(call, new Service(call), id, call.options.output);
    return EXIT.done;
  },
};

async function writeErrors(call: Call, service: Service, id: number, target?: string): Promise<void> {
  const { signal: _, ...rest } = call;
  // They are asked for also after Ctrl-C has cancelled the import.
  const calm = call.signal.aborted ? { ...rest, signal: new AbortController().signal } : call;
  const answer = await service.request('GET', `/tasks/${id}/errors`);
  await service.whole(writeOutput(target, answer, calm));
}

function formatName({ args: [file], options }: Call): string {
  return options.format ?? formatOf(file);
}

const NOTHING = 'Nothing was imported.';
const PERHAPS = 'All was sent, and the answer lost: whether it is being imported, GET /tasks says.';

/**
 * Gives the number of the task. If all was sent and the answer is lost, the file is sent again under the same
 * `Idempotency-Key`: it is imported once, and what comes back is that answer. What was piped in is gone.
 */
async function upload(call: Call, service: Service, patienceMs: number): Promise<number> {
  const key = randomUUID();
  return patiently(patienceMs, () => send(call, service, key)).catch((error) => {
    if (error instanceof Away) throw new Away(`${error.message}\n${PERHAPS}`);
    throw error;
  });
}

/** Streams the file. @throws {Away} if it may have been taken */
async function send(call: Call, service: Service, key: string): Promise<number> {
  const { file, size } = await openInput(call);
  const progress = new Progress(call.stderr, 'uploading');
  let done = 0;
  let isSent = false;
  const counted = async function* () {
    for await (const chunk of file) {
      yield chunk;
      done += chunk.length;
      progress.update({ done, unit: 'bytes', ...(size && { part: Math.min(done / size, 1) }) });
    }
    if (size !== undefined && done !== size)
      throw new CommandError(EXIT.usage, `${call.args[0]} was changed while it was read. ${NOTHING}`);
    isSent = true;
  };
  const query = new URLSearchParams();
  if (call.options['on-conflict'] !== undefined) query.set('onConflict', call.options['on-conflict']);
  if (call.options['dry-run'] !== undefined) query.set('dryRun', 'true');
  try {
    const task = await service.json('POST', `/users/import${query.size > 0 ? `?${query}` : ''}`, {
      headers: {
        'content-type': FORMATS[formatName(call)] ?? '',
        'idempotency-key': key,
        ...(size !== undefined && { 'content-length': size }),
      },
      body: Readable.from(counted(), { objectMode: false }),
      signal: call.signal,
    });
    return (task as Task).id;
  } catch (error) {
    if (call.signal.aborted && !isSent) throw new CommandError(EXIT.interrupted, `Interrupted. ${NOTHING}`);
    if (file.errored !== null) throw cannotRead(call, file.errored);
    const isPerhaps = isSent && error instanceof Away;
    if (isPerhaps && size === undefined)
      throw new CommandError(EXIT.noService, `${error.message}\n${PERHAPS}`);
    if (isPerhaps || !(error instanceof Away)) throw error;
    throw new CommandError(EXIT.noService, `${error.message}\n${NOTHING}`);
  } finally {
    progress.end();
  }
}

/** @throws {CommandError} `usage` */
async function openInput(call: Call): Promise<{ file: Readable; size?: number }> {
  const path = call.args[0] ?? '';
  if (path === '-') return { file: call.stdin };
  try {
    const there = await stat(path);
    if (there.isDirectory()) throw new Error('it is a folder');
    const handle = await open(path);
    if (!there.isFile()) return { file: handle.createReadStream() };
    // What is appended meanwhile is not taken: the length has been said.
    const end = Math.max(0, there.size - 1);
    return { file: handle.createReadStream({ end, highWaterMark: 1 << 18 }), size: there.size };
  } catch (error) {
    throw cannotRead(call, error);
  }
}

/** What is imported is perhaps the only copy. @throws {CommandError} `usage` */
async function checkOther(file = '', target: string): Promise<void> {
  const paths = [file === '-' ? '/dev/stdin' : file, target];
  const [from, to] = await Promise.all(paths.map((path) => stat(path).catch(() => undefined)));
  if (from?.isFile() && from.dev === to?.dev && from.ino === to.ino)
    throw new CommandError(EXIT.usage, `${target} cannot be written: it is the file that is imported`);
}

function cannotRead({ args: [path] }: Call, error: unknown): CommandError {
  return new CommandError(EXIT.usage, `${path} cannot be read: ${(error as Error).message}`);
}

function summary({ id, state, result, progress, error }: Task, { options }: Call): string {
  const counts = COUNTS.map((name) => `${name} ${(result?.[name] ?? 0).toLocaleString('en')}`).join(', ');
  const what = result !== undefined ? counts : `${inUnit(progress?.done ?? 0, 'rows')} were done`;
  const dry = options['dry-run'] === undefined ? '' : ' (a dry run: nothing is changed)';
  const why = error === undefined || state === 'succeeded' ? '' : ` ${error.message}`;
  return `Task ${id} ${state}: ${what}${dry}.${why}`.replace(/\p{Cc}/gu, ' ');
}
