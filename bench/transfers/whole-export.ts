import { createReadStream, createWriteStream } from 'node:fs';
import { get, type IncomingMessage } from 'node:http';
import { createInterface } from 'node:readline';
import { finished, pipeline } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { parse } from 'csv-parse';
import { seedUser } from '../database/seed.ts';
import { peakBytes, resetPeak, residentBytes } from '../machine/proc.ts';
import type { ServerProcess } from '../machine/server-process.ts';
import type { Work } from './beside.ts';

export const FORMATS = ['csv', 'ndjson'] as const;
type Format = (typeof FORMATS)[number];

export interface ExportedFormat {
  format: Format;
  /** Users a second, from the request to the last byte. */
  rate: number;
  aboveIdleBytes: number;
  /** The most memory in the last quarter above the most in the first. */
  growthBytes: number;
}

const SETTLES_MS = 1000;
const LOOKS_MS = 20;

/** @throws {Error} unless the file is exactly what the directory holds */
export async function exportWhole(
  { port, pid, idleBytes }: ServerProcess,
  format: Format,
  path: string,
  users: number,
): Promise<ExportedFormat> {
  await sleep(SETTLES_MS);
  const idle = idleBytes();
  resetPeak(pid);
  const memory: number[] = [];
  const watch = setInterval(() => memory.push(residentBytes(pid)), LOOKS_MS);
  const from = performance.now();
  await pipeline(await openExport(port, format), createWriteStream(path));
  const ms = performance.now() - from;
  clearInterval(watch);
  const aboveIdleBytes = peakBytes(pid) - idle;
  await requireExport(path, format, users);
  const quarter = Math.ceil(memory.length / 4);
  const growthBytes = Math.max(...memory.slice(-quarter)) - Math.max(...memory.slice(0, quarter));
  return { format, rate: (users / ms) * 1000, aboveIdleBytes, growthBytes };
}

/** What requests are measured beside: one export after the other. */
export function exporting(port: number): Work {
  let isWanted = false;
  let done = Promise.resolve();
  const drain = async (answer: IncomingMessage) => {
    for (let next = answer; isWanted; next = await openExport(port, 'ndjson')) {
      next.on('data', () => {
        if (!isWanted) next.destroy();
      });
      await finished(next).catch(() => {
        if (isWanted) throw new Error('an export was cut off');
      });
    }
  };
  return {
    async start() {
      isWanted = true;
      done = drain(await openExport(port, 'ndjson'));
      done.catch(() => {}); // told by `stop`
    },
    async stop() {
      isWanted = false;
      await done;
    },
  };
}

function openExport(port: number, format: Format): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const request = get({ host: '127.0.0.1', port, path: `/users/export?format=${format}` });
    request.once('error', reject);
    request.once('response', (answer) => {
      if (answer.statusCode === 200) return resolve(answer);
      answer.destroy();
      reject(new Error(`the export was answered with ${answer.statusCode}`));
    });
  });
}

export async function requireExport(path: string, format: Format, users: number): Promise<void> {
  let id = 0;
  for await (const found of format === 'csv' ? readCsv(path) : readNdjson(path)) {
    const { name, email, attributes } = seedUser(++id);
    const wanted = { id, name, email, attributes: JSON.parse(attributes) };
    if (!isDeepStrictEqual(found, wanted))
      throw new Error(`user ${id} was exported as ${JSON.stringify(found)}`);
  }
  if (id !== users) throw new Error(`${id} of ${users} users were exported`);
}

async function* readCsv(path: string): AsyncGenerator<object> {
  const records: AsyncIterable<string[]> = createReadStream(path).pipe(parse({ from: 2 }));
  for await (const [id, name, email, attributes = ''] of records) {
    yield { id: Number(id), name, email, attributes: JSON.parse(attributes) };
  }
}

async function* readNdjson(path: string): AsyncGenerator<object> {
  for await (const line of createInterface({ input: createReadStream(path) })) {
    const { id, name, email, attributes } = JSON.parse(line);
    yield { id, name, email, attributes };
  }
}
