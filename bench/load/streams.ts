import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

/**
 * Followers of the change feed: a process of its own, told what to do by one JSON argument, answering with one line of
 * JSON. It opens the streams, says `open` on a line, then changes users at an even rate, and measures from the time
 * that each change carries, which is before its commit, to when each stream has it.
 */
export interface StreamsLoad {
  port: number;
  streams: number;
  /** Of them, those that never read. */
  deaf: number;
  changesPerSecond: number;
  seconds: number;
  users: number;
}

export interface StreamsMeasurement {
  opened: number;
  changes: number;
  /** Changes that some reading stream did not get, or not in order. */
  missed: number;
  delivered: number;
  p50Ms: number;
  p99Ms: number;
  mostMs: number;
  /** Part of its core that this process used: near 1 it is the bottleneck itself. */
  share: number;
  /** Streams that ended before their time. */
  ended: number;
}

const load: StreamsLoad = JSON.parse(process.argv[2] ?? '{}');
const OPENING_AT_ONCE = 200;
const madeAt = new Map<number, number>();
const latencies = new Float64Array(4_000_000);
let [delivered, ended, over] = [0, 0, false];
const REQUEST = `GET /changes HTTP/1.1\r\nHost: 127.0.0.1:${load.port}\r\nAccept: text/event-stream\r\n\r\n`;
const BUFFER = Buffer.allocUnsafe(65_536);
const ID = Buffer.from('\nid: ');
const AT = Buffer.from('"at":"');

const streams: { socket: Socket; positions: number[] }[] = [];

function open(isDeaf: boolean): Promise<void> {
  return new Promise((resolve, reject) => {
    const positions: number[] = [];
    const socket = connect({
      port: load.port,
      host: '127.0.0.1',
      // One buffer for all: a new one for each read would make this process the bottleneck.
      onread: {
        buffer: BUFFER,
        callback(size) {
          if (begun) return read(size, positions);
          begun = true;
          resolve();
          return !isDeaf;
        },
      },
    });
    socket.once('connect', () => socket.write(REQUEST));
    let begun = false;
    socket.once('error', reject);
    socket.once('close', () => {
      if (!over) ended++;
    });
    if (!isDeaf) streams.push({ socket, positions });
    else deaf.push(socket);
  });
}
const deaf: Socket[] = [];

/** Events are short and come whole, or as several whole ones; a piece that is torn is found by what is missing. */
function read(size: number, positions: number[]): true {
  const now = Date.now();
  const chunk = BUFFER.subarray(0, size);
  for (let at = chunk.indexOf(AT); at >= 0; at = chunk.indexOf(AT, at + 1)) {
    const made = Date.parse(chunk.toString('latin1', at + 6, at + 30));
    const id = chunk.lastIndexOf(ID, at);
    const from = id >= 0 ? id + 5 : 4;
    const position = Number.parseInt(chunk.toString('latin1', from, from + 16), 10);
    madeAt.set(position, made);
    positions.push(position);
    latencies[delivered++] = now - made;
  }
  return true;
}

for (let opened = 0; opened < load.streams; opened += OPENING_AT_ONCE) {
  const many = Math.min(OPENING_AT_ONCE, load.streams - opened);
  await Promise.all(Array.from({ length: many }, (_, n) => open(opened + n < load.deaf)));
}
console.log('open');
await sleep(2000);

let changes = 0;
const cpu = process.cpuUsage();
const began = performance.now();
while (performance.now() - began < load.seconds * 1000) {
  const due = began + (changes * 1000) / load.changesPerSecond;
  await sleep(Math.max(0, due - performance.now()));
  changes++;
  const answer = await fetch(`http://127.0.0.1:${load.port}/users/${1 + (changes % load.users)}`, {
    method: 'PATCH',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ attributes: { stamp: `${changes}-${Math.random()}` } }),
  });
  if (!answer.ok) throw new Error(`a change was answered ${answer.status}`);
  await answer.arrayBuffer();
}
const { user, system } = process.cpuUsage(cpu);
const share = (user + system) / 1000 / (performance.now() - began);
await sleep(3000);

const all = [...madeAt.keys()].sort((a, b) => a - b);
const missed = streams.reduce(
  (sum, { positions }) => sum + all.filter((position, at) => positions[at] !== position).length,
  0,
);
over = true;
const sorted = latencies.subarray(0, delivered).sort();
const measurement: StreamsMeasurement = {
  opened: load.streams,
  changes: all.length,
  missed: missed + (changes - all.length) * streams.length,
  delivered,
  p50Ms: sorted[Math.floor(delivered * 0.5)] ?? Number.NaN,
  p99Ms: sorted[Math.floor(delivered * 0.99)] ?? Number.NaN,
  mostMs: sorted[delivered - 1] ?? Number.NaN,
  share,
  ended,
};
console.log(JSON.stringify(measurement));
for (const { socket } of streams) socket.destroy();
for (const socket of deaf) socket.destroy();
