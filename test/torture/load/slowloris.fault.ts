import { connect } from 'node:net';
import type { Fault } from '../fault.ts';
import { inWorld } from './world.ts';

const CONNECTIONS = 2000;
/** The goals. */
const LONGEST_MS = 10_000;
const WORST_FACTOR = 2;
/** With more of its core in other hands meanwhile, the loop is late whatever the service does. */
const MOST_LOST = 0.1;

/**
 * Half of them send a byte of a head now and then, the others nothing at all. Meanwhile twenty clients go on with their
 * mix, whose 99th percentile is held against that of the seconds before.
 */
export const slowloris: Fault = {
  name: 'slowloris',
  what: `${CONNECTIONS} connections that never send a whole head`,
  databases: ['sqlite', 'postgresql'],
  run: (setting) =>
    inWorld(setting, async ({ port, generate, watchCore }) => {
      const figures: Record<string, number | string> = {};
      const broken: string[] = [];
      const missed: string[] = [];
      const base = { users: 1000, connections: 20, warmUpSeconds: 1, seconds: 6 };
      await generate({ ...base, tag: 'seed', fill: true });
      for (let round = 1; round <= setting.scale; round++) {
        const lost = watchCore();
        const before = await generate({ ...base, tag: `before.${round}` });
        const slow = Promise.all(Array.from({ length: CONNECTIONS }, (_, n) => hold(port, n % 2 === 0)));
        const lostMeanwhile = watchCore();
        const during = await generate({ ...base, tag: `during.${round}` });
        const isAlone = lostMeanwhile() < MOST_LOST;
        const held = (await slow).filter((ms) => ms !== undefined);
        const longest = Math.round(Math.max(...held));
        const factor = during.acceptedMs.p99 / before.acceptedMs.p99;
        Object.assign(figures, {
          'slow connections': held.length,
          'cleared after ms': longest,
          'others wait ms (99 %), before': before.acceptedMs.p99,
          'others wait ms (99 %), meanwhile': during.acceptedMs.p99,
          'core lost to other processes': lost().toFixed(2),
        });
        if (held.length < CONNECTIONS) broken.push(`${CONNECTIONS - held.length} were not let in`);
        if (longest > LONGEST_MS) missed.push(`a slow connection stayed for ${longest} ms`);
        if (factor > WORST_FACTOR) missed.push(`others waited ${factor.toFixed(1)} times as long`);
        if (during.refused > 0)
          (isAlone ? broken : missed).push(`${during.refused} requests of others were refused`);
        if (during.other > 0) broken.push(`${during.other} requests of others failed`);
      }
      return { rounds: setting.scale, figures, broken, missed };
    }),
};

/** How long the server lets it be, in milliseconds; undefined when it was never connected. */
function hold(port: number, drips: boolean): Promise<number | undefined> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    let from: number | undefined;
    let timer: NodeJS.Timeout | undefined;
    socket.on('connect', () => {
      from = performance.now();
      if (!drips) return;
      socket.write('GET /users HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ');
      timer = setInterval(() => socket.write('x'), 500);
    });
    socket.on('data', () => {}); // a 408, or nothing
    socket.on('end', () => socket.end());
    socket.on('error', () => {});
    socket.on('close', () => {
      clearInterval(timer);
      resolve(from === undefined ? undefined : performance.now() - from);
    });
  });
}
