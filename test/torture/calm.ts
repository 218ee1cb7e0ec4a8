import { setTimeout as wait } from 'node:timers/promises';

/** What a service says of itself when it has nothing to do. */
export interface Vitals {
  memoryBytes: number;
  openFiles: number;
  loopDelayMs: number;
  streams: number;
  writesWaiting: number;
  connectionsWaiting: number;
}

/** More than at first: what a heap keeps of a storm until it needs the room, the connections of a pool and of a bell. */
const MORE_BYTES = 128 * 2 ** 20;
const MORE_FILES = 12;
const LOOP_DELAY_MS = 100;
/** So long it may take: clients that are silent are cut after 15 seconds, idle connections after 10. */
const WITHIN_MS = 40_000;

export async function readVitals(base: string): Promise<Vitals> {
  const response = await fetch(`${base}/metrics`, { headers: { connection: 'close' } });
  const text = await response.text();
  const read = (name: string) => Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(text)?.[1] ?? Number.NaN);
  return {
    memoryBytes: read('process_resident_memory_bytes'),
    openFiles: read('process_open_fds'),
    loopDelayMs: read('muster_event_loop_delay_seconds') * 1000,
    streams: read('muster_streams_open'),
    writesWaiting: read('muster_write_queue_length'),
    connectionsWaiting: read('muster_database_connections_waiting') || 0, // SQLite has none
  };
}

/** What is not as it was, when it does not come back in time; nothing when it does. */
export async function backToNormal(base: string, before: Vitals, withinMs = WITHIN_MS): Promise<string[]> {
  const until = performance.now() + withinMs;
  for (;;) {
    const now = await readVitals(base).catch((error) => `there are no metrics: ${error}`);
    const broken = typeof now === 'string' ? [now] : compare(before, now);
    if (broken.length === 0) return [];
    if (performance.now() > until) return broken.map((one) => `${base}, ${withinMs} ms later: ${one}`);
    await wait(1100); // they are read once a second
  }
}

function compare(before: Vitals, now: Vitals): string[] {
  const most: Vitals = {
    memoryBytes: before.memoryBytes + MORE_BYTES,
    openFiles: before.openFiles + MORE_FILES,
    loopDelayMs: LOOP_DELAY_MS,
    streams: 0,
    writesWaiting: 0,
    connectionsWaiting: 0,
  };
  return (Object.keys(most) as (keyof Vitals)[])
    .filter((name) => !(now[name] <= most[name]))
    .map((name) => `${name} is ${now[name]}, was ${before[name]} before, and may be ${most[name]}`);
}
