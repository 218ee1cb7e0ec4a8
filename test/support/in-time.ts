/**
 * How long it took when it was in time for the first time, or at the last of five tries: the machine may stall during
 * one. Each should begin where what is late is late for certain, such as right after a look that comes every so often.
 */
export async function tookAtMost(limitMs: number, tryOnce: () => Promise<number>): Promise<number> {
  let took = Infinity;
  for (let tries = 0; took >= limitMs && tries < 5; tries++) took = await tryOnce();
  return took;
}
