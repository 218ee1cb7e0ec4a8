import { creates, mixOf } from './mix.ts';
import { Wire } from './wire.ts';

/**
 * The load, a process of its own: told what to do by one JSON argument, it answers with one line of JSON. Without `rate`
 * each connection sends its next request when the last was answered. With it, requests are due at even intervals
 * whatever becomes of the others, and their time counts from when they were due.
 */
export interface Load {
  port: number;
  seed: number;
  /** Look-ups choose among the ids 1 … users; with `fill` exactly so many users are created, and nothing else is done. */
  users: number;
  fill?: boolean;
  tag: string;
  connections: number;
  seconds: number;
  /** Not measured, at the beginning. */
  warmUpSeconds: number;
  rate?: number;
}

export interface Measured {
  /** A second. */
  sent: number;
  accepted: number;
  refused: number;
  /** Answers that are neither, and connections that ended without one. */
  other: number;
  /** Due, and given up because no connection was free for so long. */
  givenUp: number;
  acceptedMs: Percentiles;
  refusedMs: Percentiles;
  /** Part of its core that the generator used. */
  share: number;
}

export interface Percentiles {
  p50: number;
  p99: number;
  most: number;
}

/** What a client waits for a connection. */
const PATIENCE_MS = 2000;

const load: Load = JSON.parse(process.argv[2] ?? '{}');
const next = load.fill ? creates(load.port, load.tag) : mixOf(load.port, load.seed, load.users, load.tag);
const idle = Array.from({ length: load.connections }, () => new Wire(load.port));
const acceptedMs: number[] = [];
const refusedMs: number[] = [];
let [measuring, over, sent, other, givenUp] = [false, false, 0, 0, 0];

function send(wire: Wire, due: number): void {
  sent++;
  wire.send(next(), (status) => {
    const ms = performance.now() - due;
    if (measuring) {
      if (status >= 200 && status < 300) acceptedMs.push(ms);
      else if (status === 503 || status === 429) refusedMs.push(ms);
      else other++;
    }
    if (over) return;
    if (load.rate === undefined) send(wire, performance.now());
    else idle.push(wire);
  });
}

async function fill(): Promise<void> {
  let created = 0;
  await Promise.all(
    idle.map(async (wire) => {
      while (created < load.users) {
        const status = await new Promise<number>((resolve) => wire.send(next(), resolve));
        if (status === 201) created++;
      }
    }),
  );
}

function atRate(rate: number): void {
  let due = performance.now();
  const pump = () => {
    if (over) return;
    for (const now = performance.now(); due <= now; due += 1000 / rate) {
      const wire = idle.shift();
      if (wire !== undefined) send(wire, due);
      else if (now - due > PATIENCE_MS) givenUp++;
      else break;
    }
    setTimeout(pump, 1);
  };
  pump();
}

function percentiles(times: number[]): Percentiles {
  const sorted = Float64Array.from(times).sort();
  const at = (part: number) => Math.round((sorted[Math.floor(sorted.length * part)] ?? 0) * 10) / 10;
  return { p50: at(0.5), p99: at(0.99), most: Math.round(sorted.at(-1) ?? 0) };
}

const wires = [...idle];
// A few at a time: how many may knock at once is another question.
for (let at = 0; at < wires.length; at += 100) {
  await Promise.all(wires.slice(at, at + 100).map((wire) => wire.open()));
}
if (load.fill) {
  await fill();
  console.log('{}');
} else {
  if (load.rate === undefined) for (const wire of idle.splice(0)) send(wire, performance.now());
  else atRate(load.rate);
  await new Promise((resolve) => setTimeout(resolve, load.warmUpSeconds * 1000));
  const [from, cpu] = [performance.now(), process.cpuUsage()];
  [measuring, sent, givenUp] = [true, 0, 0];
  await new Promise((resolve) => setTimeout(resolve, load.seconds * 1000));
  [measuring, over] = [false, true];
  const ms = performance.now() - from;
  const { user, system } = process.cpuUsage(cpu);
  const measured: Measured = {
    sent: Math.round((sent / ms) * 1000),
    accepted: Math.round((acceptedMs.length / ms) * 1000),
    refused: Math.round((refusedMs.length / ms) * 1000),
    other,
    givenUp,
    acceptedMs: percentiles(acceptedMs),
    refusedMs: percentiles(refusedMs),
    share: Math.round((user + system) / 10 / ms) / 100,
  };
  console.log(JSON.stringify(measured));
}
for (const wire of wires) wire.close();
