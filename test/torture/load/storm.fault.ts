import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Fault } from '../fault.ts';
import { randomNumbers } from './random.ts';
import { inWorld } from './world.ts';

const [WAVES, AT_ONCE] = [5, 1000];

/**
 * Waves of connections, all at once. Each is reset by the client: at once, in the middle of a head, or when it has sent a
 * whole create and not read the answer. Twenty other clients go on; and nothing may be left of it afterwards.
 *
 * What a newcomer waits is told and not judged: libuv 1.52 takes one connection in each turn of the event loop (60 turns of
 * 20 ms took 60 of 500), so that whoever comes after a wave waits until all of it has been taken.
 */
export const connectionStorm: Fault = {
  name: 'connection-storm',
  what: `waves of ${AT_ONCE} connections at once that are reset at every stage`,
  databases: ['sqlite', 'postgresql'],
  run: (setting) =>
    inWorld(setting, async ({ port, service, generate, openFiles, watchCore, watchQueue }) => {
      const random = randomNumbers(setting.seed);
      const broken: string[] = [];
      const lost = watchCore();
      const dropped = watchQueue();
      const base = { users: 1000, connections: 20, warmUpSeconds: 1, seconds: 6 };
      await generate({ ...base, tag: 'seed', fill: true });
      const before = await generate({ ...base, tag: 'before' });
      const files = openFiles();
      const others = generate({ ...base, seconds: 3 * WAVES * setting.scale, tag: 'during' });
      let connects: number[] = [];
      let newcomer = 0;
      for (let wave = 0; wave < WAVES * setting.scale; wave++) {
        const knocks = Array.from({ length: AT_ONCE }, () => knock(port, Math.floor(random() * 3)));
        connects = [...connects, ...(await Promise.all(knocks))];
        const from = performance.now();
        await (await fetch(`${service.base}/users/1`, { headers: { connection: 'close' } })).text();
        newcomer = Math.max(newcomer, Math.round(performance.now() - from));
        await sleep(1000);
      }
      const during = await others;
      const slowest = Math.round(Math.max(...connects));
      let left = openFiles() - files;
      for (let tries = 0; tries < 100 && left > 10; tries++) {
        await sleep(100);
        left = openFiles() - files;
      }
      // Each of them knocks again after a second, or three, or seven: it has waited for no reason.
      if (dropped() > 0) broken.push(`the kernel dropped ${dropped()} connections`);
      if (left > 10) broken.push(`${left} files stay open`);
      if (during.other > 0) broken.push(`${during.other} requests of others failed`);
      if (!(await fetch(`${service.base}/health/ready`)).ok) broken.push('it is not ready afterwards');
      if (/"level":60|uncaught|unhandled/i.test(service.output())) broken.push('the log tells of a crash');
      const figures = {
        connections: connects.length,
        'of them dropped by the kernel': dropped(),
        'connected after ms, the slowest': slowest,
        'a newcomer waits ms, at most': newcomer,
        'others wait ms (99 %), before': before.acceptedMs.p99,
        'others wait ms (99 %), meanwhile': during.acceptedMs.p99,
        'requests of others refused': during.refused,
        'core lost to other processes': lost().toFixed(2),
      };
      return { rounds: WAVES * setting.scale, figures, broken };
    }),
};

/** Connects, goes as far as `stage`, resets, and says how long the connecting took. */
function knock(port: number, stage: number): Promise<number> {
  return new Promise((resolve) => {
    const from = performance.now();
    const socket = connect(port, '127.0.0.1');
    let ms = Infinity;
    socket.on('connect', () => {
      ms = performance.now() - from;
      if (stage === 1) socket.write('POST /users HTTP/1.1\r\nHost: x\r\nContent-Le');
      if (stage === 2) {
        const head = 'POST /users HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2';
        socket.write(`${head}\r\n\r\n{}`);
      }
      setTimeout(() => socket.resetAndDestroy(), stage * 5);
    });
    socket.on('error', () => {});
    socket.on('close', () => resolve(ms));
  });
}
