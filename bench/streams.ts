import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { StreamsLoad, StreamsMeasurement } from './load/streams.ts';
import { CpuClock, residentBytes } from './machine/proc.ts';
import { generate, loadOf } from './measure.ts';
import { onMuster } from './on-muster.ts';
import { readOptions } from './options.ts';
import { ms, whole } from './report/format.ts';
import { BENCH } from './servers.ts';

/**
 * `npm run streams`: ten thousand followers of the change feed on one process, fifty of whom never read, while users
 * change ten times a second and are looked up two hundred times a second. Takes `--users` and `--databases` of `npm run
 * bench`.
 */
const STREAMS = 10_000;
const DEAF = 50;
const CHANGES_PER_SECOND = 10;
const LOOKUPS_PER_SECOND = 200;
const SECONDS = 20;

const options = { ...readOptions(process.argv.slice(2)), seconds: SECONDS - 5 };
const rows: Record<string, string>[] = [];
await onMuster(
  options,
  async (started, database, users) => {
    const load: StreamsLoad = {
      port: started.port,
      streams: STREAMS,
      deaf: DEAF,
      changesPerSecond: CHANGES_PER_SECOND,
      seconds: SECONDS,
      users,
    };
    const idleBytes = residentBytes(started.pid);
    const client = spawn(process.execPath, ['load/streams.ts', JSON.stringify(load)], {
      cwd: BENCH,
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const lines = createInterface(client.stdout)[Symbol.asyncIterator]();
    if ((await lines.next()).value !== 'open') throw new Error('the streams did not open');
    const openBytes = residentBytes(started.pid);
    const directory = { users, tag: 'streams', besideDatabase: database === 'postgresql' };
    const cpu = new CpuClock(started.pid);
    const from = performance.now();
    const lookups = await generate({
      ...(await loadOf('lookup', started, directory, options)),
      warmUpMs: 3000,
      rate: LOOKUPS_PER_SECOND,
    });
    const share = cpu.elapsedMicros() / 1000 / (performance.now() - from);
    const streams: StreamsMeasurement = JSON.parse((await lines.next()).value ?? '{}');
    if (client.exitCode === null) await once(client, 'close');
    rows.push({
      database,
      streams: whole(streams.opened),
      'changes delivered': whole(streams.delivered),
      missed: whole(streams.missed),
      'change to client p50, ms': ms(streams.p50Ms),
      'p99, ms': ms(streams.p99Ms),
      'most, ms': ms(streams.mostMs),
      'look-up p99 meanwhile, ms': ms(lookups.p99Ms),
      'core used, service and followers': `${share.toFixed(2)}, ${streams.share.toFixed(2)}`,
      'KB a stream': ((openBytes - idleBytes) / STREAMS / 1024).toFixed(1),
    });
  },
  { env: { MAX_CONNECTIONS: '20000', MAX_STREAMS_PER_CLIENT: '20000' } },
);
console.table(rows);
