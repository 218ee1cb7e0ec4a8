import { setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { SERVER_CORE } from '../machine/cores.ts';
import { CpuClock, coreMicros } from '../machine/proc.ts';
import { DURABLE, type OpenQueue, type Queue, type Setting } from './queue.ts';

/**
 * The process in which one queue is measured, alone on its core, on a database of its own: `node queues/turn.ts JSON`
 * prints a `Figures`. The callers are in it too, as they are in a service.
 */
export interface Turn {
  /** The file that exports the queue's `open`. */
  file: string;
  url: string;
  concurrency: number;
  /** Tasks of each of the three throughputs. */
  tasks: number;
  pickUps: number;
}

/** Tasks a second, and milliseconds. */
export interface Figures {
  enqueue: number;
  complete: number;
  both: number;
  pickUpsMs: number[];
  /** The part of the core that something else took. */
  foreignShare: number;
}

const CALLERS = 50;
const WARM_UP_TASKS = 1000;
/** Between two pick-ups, at random: else all would fall on one point of a polling interval. */
const PAUSE_MS = { least: 100, most: 300 };
const LIMIT_MS = 120_000;

const turn: Turn = JSON.parse(process.argv[2] ?? '');
const { open }: { open: OpenQueue } = await import(turn.file);
let ran = 0;
let onStart = () => {};
const setting: Setting = {
  url: turn.url,
  concurrency: turn.concurrency,
  run: async () => {
    ran++;
    onStart();
  },
};

await warmUp();
process.stdout.write(`${JSON.stringify(await measure())}\n`);
process.exit(0); // some leave timers behind that would keep the process for a minute

/** Compiles the code and makes the tables. */
async function warmUp(): Promise<void> {
  const queue = await open(setting);
  await queue.work();
  await enqueueAll(queue, WARM_UP_TASKS);
  await untilSettled(queue, WARM_UP_TASKS);
  await queue.close();
  ran = 0;
}

async function measure(): Promise<Figures> {
  const queue = await open(setting);
  await requireDurable(queue);
  const { tasks } = turn;
  const before = (await queue.done()) ?? 0;
  const machine = watchCore();

  const enqueue = await rate(tasks, () => enqueueAll(queue, tasks));
  expect('tasks in the backlog', tasks, await queue.unsettled());
  expect('tasks run without a worker', 0, ran);

  const complete = await rate(tasks, async () => {
    await queue.work();
    await untilSettled(queue, tasks);
  });

  const both = await rate(tasks, async () => {
    await enqueueAll(queue, tasks);
    await untilSettled(queue, 2 * tasks);
  });
  const foreignShare = machine();

  const pickUpsMs: number[] = [];
  while (pickUpsMs.length < turn.pickUps) pickUpsMs.push(await pickUp(queue));

  const all = 2 * tasks + turn.pickUps;
  await untilSettled(queue, all);
  expect('tasks run', all, ran);
  const done = await queue.done();
  if (done !== undefined) expect('tasks done in the database', all, done - before);
  await queue.close();
  return { enqueue, complete, both, pickUpsMs, foreignShare };
}

/** Tasks a second. */
async function rate(tasks: number, work: () => Promise<void>): Promise<number> {
  const from = performance.now();
  await work();
  return tasks / ((performance.now() - from) / 1000);
}

/** One task a call, each caller one call after the other. */
async function enqueueAll(queue: Queue, tasks: number): Promise<void> {
  let left = tasks;
  const caller = async () => {
    while (left-- > 0) await queue.enqueue();
  };
  await Promise.all(Array.from({ length: CALLERS }, caller));
}

/** The database is asked only when all have run: before, the answer is known, and asking would cost the queue. */
async function untilSettled(queue: Queue, tasks: number): Promise<void> {
  const limit = performance.now() + LIMIT_MS;
  while (ran < tasks || (await queue.unsettled()) > 0) {
    if (performance.now() > limit) throw new Error(`${ran} of ${tasks} tasks ran in ${LIMIT_MS} ms`);
    await sleep(1);
  }
}

/** From the call that enqueues a task to the start of its function, with nothing else to do. */
async function pickUp(queue: Queue): Promise<number> {
  await sleep(PAUSE_MS.least + Math.random() * (PAUSE_MS.most - PAUSE_MS.least));
  const started = new Promise<number>((resolve) => {
    onStart = () => resolve(performance.now());
  });
  const from = performance.now();
  await queue.enqueue();
  return (await started) - from;
}

async function requireDurable(queue: Queue): Promise<void> {
  const wanted = DURABLE[turn.url.startsWith('sqlite:') ? 'sqlite' : 'postgresql'];
  const found = await queue.durability();
  if (!isDeepStrictEqual({ ...found }, { ...wanted }))
    throw new Error(`not as durable as it must be: ${JSON.stringify(found)}`);
}

function expect(what: string, wanted: number, found: number): void {
  if (found !== wanted) throw new Error(`${what}: ${found} instead of ${wanted}`);
}

/** Gives a function that tells which part of the core others took since. */
function watchCore(): () => number {
  const [own, from, all] = [new CpuClock(process.pid), performance.now(), coreMicros(SERVER_CORE)];
  return () => {
    const elapsedMicros = (performance.now() - from) * 1000;
    return Math.max(0, coreMicros(SERVER_CORE) - all - own.elapsedMicros()) / elapsedMicros;
  };
}
