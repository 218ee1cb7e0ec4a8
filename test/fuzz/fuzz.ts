import fc from 'fast-check';
import { readDocument } from './document.ts';
import { Failure } from './failure.ts';
import { type Rules, rulesOf } from './judge.ts';
import type { Sent } from './memory.ts';
import { sendRaw } from './raw.ts';
import { type Chain, chainsOf } from './steps.ts';
import { World } from './world.ts';

export interface Databases {
  /** The URL of a fresh, migrated database. */
  fresh(): Promise<string>;
  /** Called when nothing uses it any more. */
  drop(url: string): Promise<void>;
}

/** Chains that share a service: starting one costs as much as many requests, and a table of thousands slows the lists. */
const CHAINS = 150;
/** Requests in a chain, more or less. */
const CHAIN = 11;
/** Worlds at once: each waits for a third of its time. */
const LANES = 2;
const SHRINKING_MS = 120_000;
/** Of so many requests, what share is held against the model at least: one that knows nothing finds nothing. */
const MANY = 5000;
const LEAST_HELD = { predicted: 0.08, applied: 0.03, read: 0.015, replayed: 0.001, imported: 0.005 };

export interface Result {
  requests: number;
  ms: number;
  /** What failed, as text for people; undefined: nothing. */
  failure?: string;
  statuses: Map<number, number>;
  /** How many answers were held against the model, by what was held. */
  held: Record<string, number>;
}

/** Sends at least so many requests. Each world has a seed of its own, made of `seed` and its number. */
export async function fuzz(
  databases: Databases,
  { requests, seed, progress }: { requests: number; seed: number; progress?: (done: number) => void },
): Promise<Result> {
  const document = await readDocument();
  const [chains, rules] = [chainsOf(document), rulesOf(document)];
  const begun = performance.now();
  const result: Result = { requests: 0, ms: 0, statuses: new Map(), held: {} };
  const most = Math.min(CHAINS, Math.ceil(requests / CHAIN));
  let next = seed;
  const lane = async () => {
    while (result.requests < requests && result.failure === undefined) {
      await runWorld(databases, chains, rules, next++, result, most);
      progress?.(result.requests);
    }
  };
  await Promise.all(Array.from({ length: LANES }, lane));
  result.ms = performance.now() - begun;
  for (const [what, share] of Object.entries(LEAST_HELD))
    if (requests >= MANY && (result.held[what] ?? 0) < share * result.requests)
      result.failure ??= `only ${result.held[what] ?? 0} answers were held against the model: ${what}`;
  return result;
}

async function runWorld(
  databases: Databases,
  chains: fc.Arbitrary<Chain>,
  rules: Rules,
  seed: number,
  result: Result,
  most: number,
): Promise<void> {
  let current: { world: World; url: string } | undefined;
  const close = async () => {
    if (current === undefined) return;
    const { world, url } = current;
    current = undefined;
    await world.close();
    await databases.drop(url);
  };
  let shown: { sent: Sent[]; message: string } | undefined;
  const run = async ({ steps, atOnce }: Chain) => {
    if (current === undefined) {
      const url = await databases.fresh();
      current = { url, world: await World.open(rules, url) };
    }
    const { world } = current;
    world.memory = world.newMemory();
    const before = world.requests;
    const sent: Sent[] = [];
    try {
      if (atOnce) await world.takeAtOnce(steps);
      else for (const step of steps) sent.push(await world.take(step));
      if (shown === undefined) result.requests += world.requests - before;
    } catch (error) {
      if (error instanceof Failure) sent.push(...error.sent);
      shown = { sent, message: error instanceof Error ? error.message : String(error) };
      await close(); // what it holds cannot be trusted any more: a smaller chain is tried on a fresh one
      throw error;
    }
  };
  const checked = await fc.check(fc.asyncProperty(chains, run), {
    seed,
    numRuns: most,
    interruptAfterTimeLimit: SHRINKING_MS,
    markInterruptAsFailure: false,
    endOnFailure: process.env.FUZZ_SHRINK === 'no',
  });
  if (shown !== undefined || checked.failed) {
    const { sent, message } = shown ?? { sent: [], message: String(checked.errorInstance) };
    result.failure = `${message}\n\nFUZZ_SEED=${seed} FUZZ_REQUESTS=${most * CHAIN} sends it again:\n${sent.map(asCurl).join('\n')}`;
  } else {
    await current?.world.finish().catch((error: Error) => {
      result.failure = `${error.message}, after all of FUZZ_SEED=${seed} FUZZ_REQUESTS=${most * CHAIN}`;
    });
  }
  for (const [status, count] of current?.world.statuses ?? []) {
    result.statuses.set(status, (result.statuses.get(status) ?? 0) + count);
  }
  for (const [what, count] of Object.entries(current?.world.held ?? {}))
    result.held[what] = (result.held[what] ?? 0) + count;
  await close();
}

/** Broken HTTP over sockets. @throws {Error} */
export async function fuzzRaw(
  databases: Databases,
  options: { seed: number; runs: number },
): Promise<number> {
  const url = await databases.fresh();
  const world = await World.open(rulesOf(await readDocument()), url);
  try {
    return await sendRaw(world.rawTarget(), options);
  } finally {
    await world.close();
    await databases.drop(url);
  }
}

/** To be read, and with luck to be run. */
function asCurl({ method, target, headers, body, step }: Sent): string {
  const quote = (text: string) => `$'${text.replace(/[^\x20-\x26\x28-\x5b\x5d-\x7e]/g, inHex)}'`;
  const shown = headers
    .filter(([name]) => name !== 'authorization' || step.headers.some(([one]) => one === 'authorization'))
    .map(([name, value]) => ` -H ${quote(`${name}: ${value}`)}`);
  const data = body === undefined ? '' : ` --data-binary ${quote(body.toString('latin1').slice(0, 3000))}`;
  return `curl -X ${method} ${quote(`$BASE${target}`)}${shown.join('')}${data}`;
}

function inHex(character: string): string {
  return `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`;
}
