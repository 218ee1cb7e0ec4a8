import { setPriority } from 'node:os';
import { SERVER_CORE } from '../machine/cores.ts';
import { CpuClock, coreMicros, peakBytes, resetPeak } from '../machine/proc.ts';
import { Connection } from './connection.ts';
import { requestsOf, type Work } from './requests.ts';

/**
 * The load generator: a process of its own, told what to do by one JSON argument, answering with one line of JSON.
 *
 * Without `rate` each connection sends its next request when the last was answered: the highest load. With it,
 * requests are due at even intervals whether or not the server keeps up, and latency counts from when a request was
 * due, so that a stalled server cannot hide its stalls (no coordinated omission).
 */
export interface Load {
  work: Work;
  connections: number;
  warmUpMs: number;
  windowMs: number;
  /** Requests a second; the highest load without it. */
  rate?: number;
  /**
   * Whether it sleeps between the requests of a rate instead of spinning, so that all else has both cores. Then a request
   * that it sends late is late by its own timer, which is no business of the server's.
   */
  sleeps?: boolean;
  /** Whether a database shares the generator's core, and is to come first there. */
  besideDatabase: boolean;
  /** The server's process, whose CPU time and memory are read around the window. */
  pid: number;
}

export interface Measurement {
  /** Answered requests a second within the window. */
  throughput: number;
  requests: number;
  errors: number;
  firstProblem?: string;
  p50Ms: number;
  p99Ms: number;
  cpuMicros: number;
  peakBytes: number;
  /** Part of its core that the generator itself used: near 1 without `rate`, it is the bottleneck. */
  generatorShare: number;
  /** Part of the server's core that other processes took: near 0 on a machine that does nothing else. */
  foreignShare: number;
}

const load: Load = JSON.parse(process.argv[2] ?? '{}');
const next = requestsOf(load.work);
const latencies = new Float64Array(4_000_000);
const idle: Connection[] = [];
let [measuring, stopped, requests, errors] = [false, false, 0, 0];
let firstProblem: string | undefined;

const listener = {
  done(connection: Connection, ok: boolean, problem?: string): void {
    if (measuring) latencies[requests++] = performance.now() - connection.startedAt;
    if (!ok) {
      errors++;
      firstProblem ??= problem;
    }
    if (stopped) return;
    if (load.rate === undefined) connection.send(next(), performance.now());
    else idle.push(connection);
  },
};

const connections = Array.from({ length: load.connections }, () => new Connection(load.work.port, listener));
await Promise.all(connections.map((connection) => connection.open()));

if (load.rate === undefined) {
  for (const connection of connections) connection.send(next(), performance.now());
} else {
  // It spins to be punctual, and would take half of the core. Asleep, it is to be woken at once.
  if (load.sleeps) setPriority(-20);
  else if (load.besideDatabase) setPriority(19);
  idle.push(...connections);
  sendAtRate(load.rate);
}
setTimeout(measure, load.warmUpMs);

function sendAtRate(rate: number): void {
  const interval = 1000 / rate;
  let due = performance.now();
  /** For a connection, which the server keeps: from then on a request counts from when it was due. */
  let waited = false;
  const pump = () => {
    if (stopped) return;
    const now = performance.now();
    while (due <= now) {
      const connection = idle.shift();
      if (connection === undefined) {
        waited = true;
        break;
      }
      connection.send(next(), load.sleeps && !waited ? now : due);
      due += interval;
    }
    if (due > now) waited = false;
    if (load.sleeps) setTimeout(pump, 1);
    else setImmediate(pump);
  };
  pump();
}

function measure(): void {
  resetPeak(load.pid);
  const server = new CpuClock(load.pid);
  const coreBefore = coreMicros(SERVER_CORE);
  const own = process.cpuUsage();
  const from = performance.now();
  measuring = true;
  setTimeout(() => {
    measuring = false;
    const elapsedMs = performance.now() - from;
    const serverMicros = server.elapsedMicros();
    const foreignMicros = coreMicros(SERVER_CORE) - coreBefore - serverMicros;
    const { user, system } = process.cpuUsage(own);
    stopped = true;
    for (const connection of connections) connection.close();
    const sorted = latencies.subarray(0, requests).sort();
    const measurement: Measurement = {
      throughput: (requests / elapsedMs) * 1000,
      requests,
      errors,
      ...(firstProblem !== undefined && { firstProblem }),
      p50Ms: sorted[Math.floor(requests * 0.5)] ?? Number.NaN,
      p99Ms: sorted[Math.floor(requests * 0.99)] ?? Number.NaN,
      cpuMicros: serverMicros / requests,
      peakBytes: peakBytes(load.pid),
      generatorShare: (user + system) / 1000 / elapsedMs,
      foreignShare: Math.max(0, foreignMicros / 1000 / elapsedMs),
    };
    console.log(JSON.stringify(measurement));
  }, load.windowMs);
}
