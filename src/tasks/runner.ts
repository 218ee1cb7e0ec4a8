import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { FastifyBaseLogger } from 'fastify';
import type { Bell } from '../db/bell.ts';
import type { Tx } from '../db/tx.ts';
import { type Claimed, claim } from './claim.ts';
import { cancelDescendants } from './control.ts';
import { Aborted, type TaskKind } from './kinds.ts';
import type { TaskQueue } from './queue.ts';
import { Run, type Surroundings } from './run.ts';
import { type Outcome, saveProgress, settle } from './settle.ts';
import { Slots } from './slots.ts';
import type { TaskProgress } from './task.entity.ts';
import { CANCEL, CHANGED, QUEUED, SCHEDULED } from './topics.ts';
import { look, promote, renew, rescue } from './upkeep.ts';

/** How long a claim lasts, by the database's clock. It is renewed three times as often. */
export const LEASE_MS = 15_000;
/** How often the database is asked when nobody rings. */
const LOOK_MS = 1000;
const PROGRESS_MS = 250;
const LONGEST_PAUSE_MS = 1000;
/** How long the end may wait for the database to take back what is left. */
const LAST_MS = 2000;

export interface RunnerOptions {
  queue: TaskQueue;
  write<T>(work: (tx: Tx) => Promise<T>): Promise<T>;
  bell: Bell;
  log: FastifyBaseLogger;
  /** Tasks at once. */
  concurrency: number;
  /** How long `stop()` lets running functions go on. */
  graceMs: number;
  reached?: ((step: string) => void) | undefined;
  leaseMs?: number;
}

interface Written {
  settled: Map<number, string>;
  claimed: Claimed[];
  renewed: { id: number; attempt: number; cancel: boolean }[] | undefined;
  queued: number;
}

/**
 * Runs tasks beside the requests. It is one promise: `start()` makes it (in `onReady`), `stop()` ends and awaits it
 * (in `onClose`). Each turn of its loop writes what has become due in one transaction: the ends of attempts, and the
 * claims that follow them, so that an empty task costs far less than a commit.
 */
export class TaskRunner {
  /** A runner that has stopped never claims again: with the attempt this names one run for ever. */
  readonly #id = randomUUID();
  readonly #options: RunnerOptions;
  readonly #kinds: Map<string, TaskKind>;
  readonly #slots: Slots;
  readonly #leaseMs: number;
  readonly #runs = new Set<Run>();
  readonly #around: Surroundings;
  readonly #listening: (() => void)[];
  #wake = Promise.withResolvers<void>();
  #loop: Promise<void> | undefined;
  #stopped: Promise<void> | undefined;
  #stopping = false;
  #graceOver = false;
  /** What may be there to do, as far as is known. */
  #mayClaim = true;
  #suspectsWait = false;
  #orphans: boolean;
  /** Moments of `performance.now()`. */
  #lookAt = 0;
  #renewAt = Infinity;
  #promoteAt = Infinity;
  #rescueAt = Infinity;
  #progressAt = Infinity;

  constructor(options: RunnerOptions) {
    this.#options = options;
    this.#kinds = new Map(options.queue.kinds.map((kind) => [kind.kind, kind]));
    this.#slots = new Slots(options.queue.kinds, options.concurrency);
    this.#leaseMs = options.leaseMs ?? LEASE_MS;
    // On SQLite there is no other process: whatever runs at the start is without one.
    this.#orphans = options.queue.reader.dialect === 'sqlite';
    this.#around = {
      write: options.write,
      queue: options.queue,
      log: options.log,
      reached: options.reached ?? (() => {}),
      progressed: () => this.#progressed(),
    };
    this.#listening = [
      options.bell.on(QUEUED, () => {
        this.#mayClaim = true;
        this.#wake.resolve();
      }),
      ...[SCHEDULED, CANCEL].map((topic) => options.bell.on(topic, () => this.#lookNow())),
    ];
  }

  start(): void {
    if (!this.#stopping) this.#loop ??= this.#run();
  }

  /** Aborts what runs, waits at most `graceMs` for it to end, and hands back what has not. */
  stop(): Promise<void> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  async #stop(): Promise<void> {
    this.#stopping = true;
    for (const off of this.#listening) off();
    for (const run of this.#runs) run.abort(new Aborted('shutdown', 'The service stops.'));
    this.#wake.resolve();
    const timer = setTimeout(() => {
      this.#graceOver = true;
      for (const run of this.#runs) run.handBack();
      this.#wake.resolve();
    }, this.#options.graceMs);
    await this.#loop;
    clearTimeout(timer);
  }

  #lookNow(): void {
    this.#lookAt = 0;
    this.#wake.resolve();
  }

  #progressed(): void {
    if (this.#progressAt < Infinity) return;
    this.#progressAt = performance.now() + PROGRESS_MS;
    this.#wake.resolve(); // so that the loop waits no longer than that
  }

  async #run(): Promise<void> {
    let failures = 0;
    let lastEnd = Infinity;
    while (!this.#stopping || this.#runs.size > 0) {
      if (this.#graceOver) lastEnd = Math.min(lastEnd, performance.now() + LAST_MS);
      if (performance.now() > lastEnd) break; // their leases will end
      this.#wake = Promise.withResolvers();
      try {
        await this.#turn();
        failures = 0;
      } catch (error) {
        failures++;
        // What was to be written still is, and nothing else is to be done about a database that is away.
        this.#options.log.warn({ err: error }, 'tasks wait for the database');
        await sleep(Math.min(50 * 2 ** failures, this.#stopping ? 200 : LONGEST_PAUSE_MS));
        continue;
      }
      await this.#pause();
    }
  }

  async #pause(): Promise<void> {
    const unsettled = [...this.#runs].some((run) => run.outcome !== undefined);
    const upkeep = this.#stopping ? Infinity : Math.min(this.#promoteAt, this.#rescueAt);
    const next = unsettled ? 0 : Math.min(this.#lookAt, this.#renewAt, this.#progressAt, upkeep);
    const ms = next - performance.now();
    if (ms <= 0) return void (await new Promise((resolve) => setImmediate(resolve)));
    const timer = new AbortController();
    await Promise.race([
      this.#wake.promise,
      sleep(Math.min(ms, LOOK_MS), undefined, { signal: timer.signal }).catch(() => {}),
    ]);
    timer.abort();
  }

  async #turn(): Promise<void> {
    if (performance.now() >= this.#lookAt) await this.#look();
    const now = performance.now();
    for (const run of this.#runs) if (run.outcome === 'lost') this.#forget(run);
    const over = [...this.#runs].filter((run) => run.outcome !== undefined);
    const progress =
      now >= this.#progressAt
        ? [...this.#runs].flatMap((run) => (run.unsaved ? { run, progress: run.unsaved } : []))
        : [];
    const working = !this.#stopping;
    const room = working && this.#mayClaim ? this.#slots.room(this.#active(), this.#suspectsWait) : undefined;
    const claims = room !== undefined && (room.free > 0 || room.waiting.length > 0);
    const due = {
      renew: this.#runs.size > 0 && now >= this.#renewAt,
      promote: working && now >= this.#promoteAt,
      rescue: working && (this.#orphans || now >= this.#rescueAt),
    };
    if (progress.length === 0 && now >= this.#progressAt) this.#progressAt = Infinity;
    if (over.length + progress.length === 0 && !claims && !Object.values(due).includes(true)) return;
    // A ring during the transaction says it again.
    if (claims) this.#mayClaim = false;
    const written = await this.#options
      .write(async (tx): Promise<Written> => {
        tx.changed();
        const { em } = tx;
        const outcomes = over.flatMap((run) => (typeof run.outcome === 'object' ? run.outcome : []));
        const settled = await settle(em, outcomes);
        await cancelDescendants(em, this.#unfinishedParents(outcomes, settled));
        await saveProgress(
          em,
          progress.map(({ run, progress }) => ({ ...run.fence, progress })),
        );
        const renewed = due.renew ? await renew(em, this.#id, this.#leaseMs) : undefined;
        const waiting = [...this.#kinds.values()].filter((kind) => kind.waits).map(({ kind }) => kind);
        const rescued = due.rescue ? await rescue(em, { runner: this.#id, all: this.#orphans, waiting }) : [];
        const queued = rescued.length + (due.promote ? await promote(em) : 0);
        const claimed = claims ? await claim(em, this.#id, this.#leaseMs, room) : [];
        if (claimed.length > 0) this.#around.reached('claiming');
        if (settled.size > 0) this.#around.reached('settling');
        return { settled, claimed, renewed, queued };
      })
      .catch((error) => {
        if (claims) this.#mayClaim = true;
        throw error;
      });
    if (due.rescue) this.#orphans = false;
    if (due.renew) this.#renewAt = now + this.#leaseMs / 3;
    if (due.promote) this.#promoteAt = Infinity;
    if (due.rescue) this.#rescueAt = Infinity;
    if (now >= this.#progressAt) this.#afterProgress(progress);
    this.#afterSettle(over, written.settled);
    if (written.renewed !== undefined) this.#afterRenew(written.renewed);
    if (written.queued > 0) {
      this.#mayClaim = true;
      this.#lookAt = 0;
    }
    this.#begin(written.claimed);
    // More may be there than there was room for.
    if (room !== undefined && written.claimed.length >= Math.max(room.free, 1)) this.#mayClaim = true;
  }

  *#active(): Iterable<Run> {
    for (const run of this.#runs) if (!run.ended) yield run;
    for (const run of this.#zombies) yield run;
  }

  /** Runs whose attempt is over and whose function goes on regardless: they keep their slots. */
  readonly #zombies = new Set<Run>();

  async #look(): Promise<void> {
    const sight = await look(this.#options.queue.reader, this.#id, [...this.#kinds.keys()]);
    const now = performance.now();
    this.#lookAt = now + LOOK_MS;
    if (sight.queued || sight.suspects) this.#mayClaim = true;
    this.#suspectsWait = sight.suspects;
    this.#promoteAt = sight.scheduledInMs === null ? Infinity : now + sight.scheduledInMs;
    this.#rescueAt = sight.leaseInMs === null ? Infinity : now + sight.leaseInMs;
    const cancelled = new Set(sight.cancel);
    for (const run of this.#runs) if (cancelled.has(run.claimed.id)) run.abort(cancelRequested());
  }

  #afterProgress(written: readonly { run: Run; progress: TaskProgress }[]): void {
    // What has been said meanwhile is written next.
    for (const { run, progress } of written) if (run.unsaved === progress) run.unsaved = undefined;
    const more = [...this.#runs].some((run) => run.unsaved !== undefined);
    this.#progressAt = more ? performance.now() + PROGRESS_MS : Infinity;
    this.#options.bell.ringHere(CHANGED);
  }

  #afterSettle(over: readonly Run[], settled: ReadonlyMap<number, string>): void {
    for (const run of over) {
      const state = settled.get(run.claimed.id);
      if (state === undefined) {
        this.#options.log.warn(
          { task: run.claimed.id },
          'a task was taken by another: its result is dropped',
        );
        run.abort(new Aborted('lost', 'Another runner has this task.'));
      }
      if (state === 'scheduled') this.#lookAt = 0;
      this.#forget(run);
    }
    if (over.length === 0) return;
    this.#around.reached('settled');
    this.#options.bell.ring(CHANGED);
  }

  #forget(run: Run): void {
    this.#runs.delete(run);
    if (!run.ended) this.#zombies.add(run);
    if (this.#runs.size === 0) this.#renewAt = Infinity;
  }

  #afterRenew(renewed: NonNullable<Written['renewed']>): void {
    const own = new Map(renewed.map((one) => [one.id, one]));
    for (const run of this.#runs) {
      const one = own.get(run.claimed.id);
      own.delete(run.claimed.id);
      if (one?.attempt !== run.claimed.attempt) run.abort(new Aborted('lost', 'The lease is lost.'));
      else if (one.cancel) run.abort(cancelRequested());
    }
    // Claimed by a commit that seemed to fail: nobody has begun them, so they are given back.
    const strays = [...own.values()].map(({ id, attempt }) => ({ id, attempt, runner: this.#id }));
    if (strays.length === 0) return;
    const outcomes: Outcome[] = strays.map((fence) => ({ ...fence, state: 'queued' }));
    this.#options.write((tx) => settle(tx.em, outcomes)).catch(() => {});
  }

  /** A parent that does not succeed leaves no children behind that still run. */
  #unfinishedParents(outcomes: readonly Outcome[], settled: ReadonlyMap<number, string>): number[] {
    const parents = new Set([...this.#runs].filter((run) => run.kind.waits).map((run) => run.claimed.id));
    return outcomes
      .map(({ id }) => id)
      .filter((id) => parents.has(id) && ['failed', 'cancelled'].includes(settled.get(id) ?? ''));
  }

  #begin(claimed: readonly Claimed[]): void {
    if (claimed.length === 0) return;
    this.#around.reached('claimed');
    if (this.#renewAt === Infinity) this.#renewAt = performance.now() + this.#leaseMs / 3;
    for (const one of claimed) {
      const kind = this.#kinds.get(one.kind);
      if (kind === undefined) continue;
      const run = new Run(one, kind, this.#id, this.#around);
      this.#runs.add(run);
      const ended = () => {
        this.#zombies.delete(run);
        if (one.losses >= 2) this.#lookAt = 0;
        this.#mayClaim = true;
        this.#wake.resolve();
      };
      run.start(ended).then(() => this.#wake.resolve());
      if (this.#stopping) run.abort(new Aborted('shutdown', 'The service stops.'));
    }
    this.#options.bell.ringHere(CHANGED);
  }
}

function cancelRequested(): Aborted {
  return new Aborted('cancelled', 'Somebody asked for it to be cancelled.');
}
