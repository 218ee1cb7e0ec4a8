import { setTimeout as wait } from 'node:timers/promises';
import type { Fault } from '../fault.ts';
import { inWorld, type World } from './world.ts';

const USERS = 2000;
const TIMES = 10;
/** The goals. */
const LEAST_SHARE = 0.8;
const LATEST_REFUSAL_MS = 100;
const LONGEST_RECOVERY_MS = 5000;
/** With more of its core in other hands, or less than asked for sent, share and latency are told, and not judged. */
const MOST_LOST = 0.1;

/**
 * Capacity is what the service does for 32 clients that wait for their answers, before and after: machines change their
 * speed. Between them ten times as many requests come, whether or not they are answered. Latency of a refusal is at the
 * 99th percentile, from when it was due.
 */
export const overload: Fault = {
  name: 'overload',
  what: `${TIMES} times as many look-ups, lists and creates as can be served`,
  databases: ['sqlite', 'postgresql'],
  run: (setting) =>
    inWorld(setting, async (world) => {
      const { generate, watchCore } = world;
      const figures: Record<string, number | string> = {};
      const broken: string[] = [];
      const missed: string[] = [];
      const base = { users: USERS, connections: 32, warmUpSeconds: 1, seconds: 4 };
      await generate({ ...base, tag: 'seed', fill: true });
      for (let round = 1; round <= setting.scale; round++) {
        const lost = watchCore();
        const calm = await generate({ ...base, tag: `calm.${round}` });
        const rate = TIMES * calm.accepted;
        const under = { ...base, connections: 2000, warmUpSeconds: 3, seconds: 5 };
        const flood = await generate({ ...under, tag: `flood.${round}`, rate });
        const lostPart = lost();
        const recovery = await recoveryMs(world, 3 * calm.acceptedMs.p50);
        await wait(2000); // or who comes at once might still be refused
        const after = await generate({ ...base, seconds: 2, tag: `after.${round}` });
        const capacity = Math.round((calm.accepted + after.accepted) / 2);
        const share = flood.accepted / capacity;
        Object.assign(figures, {
          'capacity a second': capacity,
          'before and after': `${calm.accepted}, ${after.accepted}`,
          'sent, times capacity': (flood.sent / capacity).toFixed(1),
          'accepted, part of capacity': share.toFixed(2),
          'refusals after ms (99 %)': flood.refusedMs.p99,
          'accepted after ms (99 %)': flood.acceptedMs.p99,
          'recovered after ms': recovery,
          'refusals after ms (50 %)': flood.refusedMs.p50,
          'core lost to other processes': lostPart.toFixed(2),
        });
        // A core that is not the service's own is late whatever the service does.
        const isAlone = lostPart < MOST_LOST && flood.sent > 0.9 * rate;
        if (calm.refused + calm.other + after.refused + after.other > 0)
          broken.push('requests were refused below capacity');
        if (isAlone && share < LEAST_SHARE) missed.push(`only ${share.toFixed(2)} of capacity was accepted`);
        if (isAlone && flood.refusedMs.p99 > LATEST_REFUSAL_MS)
          missed.push(`refusals took ${flood.refusedMs.p99} ms`);
        if (flood.other > 0) broken.push(`${flood.other} requests were neither served nor refused`);
        if (recovery > LONGEST_RECOVERY_MS) missed.push(`it took ${recovery} ms to recover`);
      }
      return { rounds: setting.scale, figures, broken, missed };
    }),
};

/** How long until twenty look-ups in a row are served as fast as one is expected to be. */
async function recoveryMs({ service }: World, expectedMs: number): Promise<number> {
  const from = performance.now();
  let begun = from;
  for (let quick = 0; quick < 20; ) {
    const at = performance.now();
    const { ok } = await fetch(`${service.base}/users/1`);
    const isQuick = ok && performance.now() - at < Math.max(expectedMs, 50);
    if (quick === 0) begun = at;
    quick = isQuick ? quick + 1 : 0;
    if (performance.now() - from > 2 * LONGEST_RECOVERY_MS) return performance.now() - from;
  }
  return Math.round(begun - from);
}
