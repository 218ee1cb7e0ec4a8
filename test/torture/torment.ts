import { setTimeout as wait } from 'node:timers/promises';
import { Life } from '../support/owner.ts';
import type { Service } from '../support/service.ts';
import { Audience } from './audience.ts';
import { examine, readVitals, type Vitals } from './calm.ts';
import { check } from './checker.ts';
import { Client } from './client.ts';
import type { Outcome, Setting } from './fault.ts';
import { History } from './history.ts';
import { Random } from './random.ts';
import { openStage, type Stage, type StageOptions } from './stage.ts';
import { Worker } from './worker.ts';

/** What a nemesis has in its hands. */
export interface Scene extends Stage {
  life: Life;
  client: Client;
  history: History;
  audience: Audience;
  random: Random;
  round: number;
  /** What happened, to be counted. */
  count(what: string, times?: number): void;
  /** Waits until so many more writes were acknowledged, on a slow machine as on a fast one; for a while only. */
  acknowledged(more: number): Promise<void>;
}

export interface Torment extends StageOptions {
  /** Rounds for each `scale`. */
  rounds: number;
  /** How long the services may take to be as before, where a fault has a limit of its own. */
  calmWithinMs?: number | undefined;
  /** Before the workers begin. */
  prepare?(scene: Scene): Promise<void>;
  /** One round. When it ends all services have to be there again. */
  strike(scene: Scene): Promise<void>;
  /** When the storm is over and before the checker: what is left of the faults is taken away. */
  relent?(scene: Scene): Promise<void>;
  /** After the checker: what else does not hold. */
  judge?(scene: Scene): Promise<string[]>;
}

const WORKERS = 8;
/** While nothing is acknowledged at all, the nemesis goes on. */
const PATIENCE_MS = 15_000;
/** Until all that is loaded late is there. */
const WARM_UP_REQUESTS = 100;

/** A history under a nemesis, and the checker at the end of it. */
export async function torment(setting: Setting, torment: Torment): Promise<Outcome> {
  const life = new Life();
  const interrupt = () => void life.end().finally(() => process.exit(130));
  process.once('SIGINT', interrupt).once('SIGTERM', interrupt);
  try {
    return await play(life, setting, torment);
  } finally {
    await life.end();
    process.off('SIGINT', interrupt).off('SIGTERM', interrupt);
  }
}

async function play(life: Life, { database, seed, scale, log }: Setting, torment: Torment): Promise<Outcome> {
  const stage = await openStage(life, database, torment);
  const { bases } = stage;
  const client = new Client();
  life.teardown(() => client.close());
  const before = await Promise.all(stage.services.map((service) => warmUp(client, service)));
  const history = new History();
  const audience = new Audience(bases, seed);
  await audience.listen(life, client);
  const counts = new Map<string, number>();
  const count = (what: string, times = 1) => void counts.set(what, (counts.get(what) ?? 0) + times);
  const random = new Random(seed);
  const acknowledged = (more: number) => untilAcknowledged(history, more);
  const scene: Scene = { ...stage, life, client, history, audience, random, round: 0, count, acknowledged };
  await torment.prepare?.(scene);

  const workers = Array.from({ length: WORKERS }, (_, n) => new Worker(n, seed, { bases, client, history }));
  const works = Promise.all(workers.map((worker) => worker.run()));
  const rounds = torment.rounds * scale;
  try {
    for (; scene.round < rounds; scene.round++) await torment.strike(scene);
  } finally {
    for (const worker of workers) worker.stop();
  }
  await works;
  await torment.relent?.(scene);
  log(`${rounds} rounds are over`);
  const over = performance.now();

  const { calmWithinMs } = torment;
  const { broken, changes, tasks } = await check({
    ...stage,
    client,
    history,
    audience,
    before,
    calmWithinMs,
  });
  const faults = (await torment.judge?.(scene)) ?? [];
  log(`settled and checked in ${Math.round(performance.now() - over)} ms`);
  return {
    rounds,
    figures: {
      ...Object.fromEntries(counts),
      'acknowledged writes': history.count('acknowledged'),
      'refused writes': history.count('refused'),
      'writes of which nobody knew': history.count('unknown'),
      changes,
      tasks,
      answers: [...client.statuses]
        .sort(([a], [b]) => a - b)
        .map(([one, n]) => `${one}: ${n}`)
        .join(', '),
    },
    broken: [...faults, ...broken].map((one) => one + explanation(one, stage)),
  };
}

async function untilAcknowledged(history: History, more: number): Promise<void> {
  const goal = history.count('acknowledged') + more;
  const until = performance.now() + PATIENCE_MS;
  while (history.count('acknowledged') < goal && performance.now() < until) await wait(10);
}

async function warmUp(client: Client, service: Service): Promise<Vitals> {
  const { base } = service;
  await readVitals(base);
  for (let n = 0; n < WARM_UP_REQUESTS; n++) await client.send(base, 'GET', '/users?limit=10');
  return examine(service);
}

/** A 500 says nothing of why; the log does. */
function explanation(broken: string, { explain }: Stage): string {
  const id = /answered 500: .*"instance":"([^"]+)"/.exec(broken)?.[1];
  return id === undefined ? '' : `; logged: ${explain(id)}`;
}
