import { setTimeout as wait } from 'node:timers/promises';
import type { Service } from '../support/service.ts';
import { collectGarbage } from './garbage.ts';

/** What a service says of itself when it has nothing to do. */
export interface Vitals {
  /** What the heap holds and what hangs on it: pages that V8 keeps for the next storm say nothing of a leak. */
  heldBytes: number;
  residentBytes: number;
  openFiles: number;
  loopDelayMs: number;
  streams: number;
  writesWaiting: number;
  connectionsWaiting: number;
}

/**
 * More than at first: code that is loaded late, which was 5 to 16 MiB however long it took (13 after 990 changes, 14 after
 * 9,000), and the connections of a pool and of a bell. So a leak is found of 32 KB in each request of `freeze-service`, and
 * not of 24 KB: for smaller ones there is `--scale`. What SQLite's thread holds is not among it, but resident.
 */
const MORE_HELD_BYTES = 32 * 2 ** 20;
const MORE_FILES = 12;
/** Whatever has happened. */
const MOST_RESIDENT_BYTES = 512 * 2 ** 20;
const LOOP_DELAY_MS = 100;
/** So long it may take: streams that nobody reads are cut after 15 seconds, idle connections after 10. */
const WITHIN_MS = 40_000;

export async function readVitals(base: string): Promise<Vitals> {
  const response = await fetch(`${base}/metrics`, { headers: { connection: 'close' } });
  const text = await response.text();
  const read = (name: string) => Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(text)?.[1] ?? Number.NaN);
  return {
    heldBytes: read('nodejs_heap_size_used_bytes') + read('nodejs_external_memory_bytes'),
    residentBytes: read('process_resident_memory_bytes'),
    openFiles: read('process_open_fds'),
    loopDelayMs: read('muster_event_loop_delay_seconds') * 1000,
    streams: read('muster_streams_open'),
    writesWaiting: read('muster_write_queue_length'),
    connectionsWaiting: read('muster_database_connections_waiting') || 0, // SQLite has none
  };
}

/** Its vitals when it has collected its garbage. */
export async function examine(service: Service): Promise<Vitals> {
  await collectGarbage(service);
  await wait(1100); // metrics are read once a second
  return readVitals(service.base);
}

/** What is not as it was, when it does not come back in time; nothing when it does. */
export async function backToNormal(
  examined: () => Promise<Vitals>,
  before: Vitals,
  withinMs = WITHIN_MS,
): Promise<string[]> {
  const until = performance.now() + withinMs;
  for (;;) {
    const now = await examined().catch((error) => `there are no metrics: ${error}`);
    const broken = typeof now === 'string' ? [now] : compare(before, now);
    if (broken.length === 0) return [];
    if (performance.now() > until) return broken.map((one) => `${withinMs} ms later ${one}`);
  }
}

function compare(before: Vitals, now: Vitals): string[] {
  const most: Vitals = {
    heldBytes: before.heldBytes + MORE_HELD_BYTES,
    residentBytes: MOST_RESIDENT_BYTES,
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
