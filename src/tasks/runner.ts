import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { readJson } from '../db/json.ts';
import type { Claimed } from './claim.ts';
import { Run, type Surroundings } from './run.ts';
import {
  BEGUN_AT_ONCE,
  LAST_MS,
  LONGEST_PAUSE_MS,
  LOOK_MS,
  MOST_AT_ONCE,
  PROGRESS_MS,
  RENEW_MS,
  type RunnerOptions,
} from './runner-options.ts';
import { Runs } from './runs.ts';
import type { FencedProgress, Outcome } from './settle.ts';
import { Slots } from './slots.ts';
import { CANCEL, CHANGED, QUEUED, SCHEDULED } from './topics.ts';
import { type Due, isUnwritable, type Self, settleApart, writeTurn } from './turn.ts';
import { look, type Renewed } from './upkeep.ts';

/**
 * Runs tasks beside the requests. It is one promise: `start()` makes it (in `onReady`), `stop()` ends and awaits it
 * (in `onClose`). Each turn of its loop writes what has become due in one transaction: the ends of attempts, and the
 * claims that follow them, so that an empty task costs far less than a commit.
 */
export class TaskRunner {
  /** With the attempt this names one run for ever: see `settle`. */
  readonly #self: Self;
  readonly #options: RunnerOptions;
  readonly #slots: Slots;
  readonly #runs: Runs;
  readonly #around: Surroundings;
  readonly #listening: (() => void)[];
  /** When it last saw what there is to do, by `performance.now()`. */
  lookedAt = -Infinity;
  #wake = Promise.withResolvers<void>();
  #loop: Promise<void> | undefined;
  #stopped: Promise<void> | undefined;
  #stopping = false;
  #graceOver = false;
  /** What may be there to do, as far as is known. */
  #mayClaim = false;
  /** A commit that seemed to fail may have claimed tasks that nobody here knows of. */
  #mayHaveStrays = false;
  #strays: readonly Outcome[] = [];
  #suspectsWait = false;
  #orphans: boolean;
  /** Moments of `performance.now()`. */
  #lookAt = 0;
  #renewAt = Infinity;
  #promoteAt = Infinity;
  #rescueAt = Infinity;
  /** When the database was away, the leases of all are over, and all are about to renew them. */
  #rescueNotBefore = 0;
  #progressAt = Infinity;

  constructor(options: RunnerOptions) {
    this.#options = options;
    this.#runs = new Runs(options.concurrency, (run) => {
      this.#slots.ended();
      if (run.claimed.losses >= 2) this.#lookAt = 0;
      this.#claimSoon();
    });
    this.#slots = new Slots(options.queue.kinds, options.concurrency);
    this.#self = { id: randomUUID(), waiting: this.#slots.waiting };
    // On SQLite there is no other process: whatever runs at the start is without one.
    this.#orphans = options.queue.reader.dialect === 'sqlite';
    this.#around = {
      ...options,
      progressed: () => this.#progressed(),
      decided: (run) => {
        this.#runs.decided(run);
        this.#wake.resolve();
      },
    };
    this.#listening = [
      options.bell.on(QUEUED, () => this.#claimSoon()),
      ...[SCHEDULED, CANCEL].map((topic) => options.bell.on(topic, () => this.#lookSoon())),
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
    for (const run of this.#runs.open) run.abort('shutdown');
    this.#wake.resolve();
    const timer = setTimeout(() => {
      this.#graceOver = true;
      for (const run of this.#runs.open) run.handBack();
      this.#wake.resolve();
    }, this.#options.graceMs);
    await this.#loop;
    clearTimeout(timer);
  }

  #claimSoon(): void {
    this.#mayClaim = true;
    this.#wake.resolve();
  }

  #lookSoon(): void {
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
    while (!this.#isDone()) {
      if (this.#graceOver) lastEnd = Math.min(lastEnd, performance.now() + LAST_MS);
      if (performance.now() > lastEnd) break; // their leases will end
      this.#wake = Promise.withResolvers();
      try {
        await this.#turn();
        failures = 0;
      } catch (error) {
        failures++;
        this.#rescueNotBefore = performance.now() + RENEW_MS;
        this.#rescueAt = Math.max(this.#rescueAt, this.#rescueNotBefore);
        // What was to be written still is, and nothing else is to be done about a database that is away.
        this.#options.log.warn({ err: error }, 'tasks wait for the database');
        await sleep(Math.min(50 * 2 ** failures, this.#stopping ? 200 : LONGEST_PAUSE_MS));
        continue;
      }
      await this.#pause();
    }
  }

  #isDone(): boolean {
    return this.#stopping && this.#runs.open.size === 0 && this.#strays.length === 0;
  }

  async #pause(): Promise<void> {
    if (this.#isDone()) return;
    const unsettled = this.#strays.length > 0 || this.#runs.over.size > 0;
    const upkeep = this.#stopping ? Infinity : Math.min(this.#promoteAt, this.#rescueAt);
    const renewAt = this.#runs.open.size > 0 || this.#mayHaveStrays ? this.#renewAt : Infinity;
    const next = unsettled ? 0 : Math.min(this.#lookAt, renewAt, this.#progressAt, upkeep);
    const ms = next - performance.now();
    if (ms <= 0) return void (await new Promise((resolve) => setImmediate(resolve)));
    const timer = setTimeout(() => this.#wake.resolve(), Math.min(ms, LOOK_MS));
    await this.#wake.promise;
    clearTimeout(timer);
  }

  /** Writes what is due, all in one transaction, and begins what was claimed by it. */
  async #turn(): Promise<void> {
    if (performance.now() >= this.#lookAt) await this.#look();
    const due = this.#due();
    if (due === undefined) return;
    // A ring during the transaction says it again.
    if (due.room !== undefined) this.#mayClaim = false;
    const { write, reached } = this.#options;
    const written = await write((tx) => writeTurn(tx, this.#self, due, reached)).catch(async (error) => {
      if (isUnwritable(error)) await settleApart(write, due.over, (run, by) => this.#afterSettle([run], by));
      this.#mayClaim = true;
      this.#mayHaveStrays = true;
      this.#renewAt = 0;
      throw error;
    });
    this.#strays = [];
    if (due.rescue !== undefined) {
      this.#orphans = false;
      this.#rescueAt = Infinity;
    }
    if (due.promote) this.#promoteAt = Infinity;
    if (due.progress.length > 0) this.#afterProgress(new Set(due.progress));
    this.#afterSettle(due.over, written.settled);
    if (written.renewed !== undefined) this.#afterRenew(written.renewed);
    if (written.hasMoved) this.#lookAt = 0; // others may hold suspects now, or later times
    if (due.room !== undefined) this.#slots.claimed(due.room, written.claimed.length);
    await this.#begin(written.claimed);
    // More may be there than there was room for.
    if (due.room !== undefined && written.claimed.length >= Math.max(due.room.free, 1)) this.#claimSoon();
  }

  #due(): Due | undefined {
    const now = performance.now();
    const saves = now >= this.#progressAt;
    const working = !this.#stopping;
    const room =
      working && this.#mayClaim ? this.#slots.room(this.#runs.active, this.#suspectsWait) : undefined;
    const rescues = this.#orphans ? 'all' : 'expired';
    const due: Due = {
      over: [...this.#runs.over].slice(0, MOST_AT_ONCE),
      strays: this.#strays,
      progress: saves ? this.#runs.unsaved() : [],
      renew: now >= this.#renewAt && (this.#runs.open.size > 0 || this.#mayHaveStrays),
      promote: working && now >= this.#promoteAt,
      rescue: working && (this.#orphans || now >= this.#rescueAt) ? rescues : undefined,
      room: room !== undefined && (room.free > 0 || room.waiting.length > 0) ? room : undefined,
    };
    if (saves && due.progress.length === 0) this.#progressAt = Infinity;
    const isIdle = Object.values(due).every((one) => (Array.isArray(one) ? one.length === 0 : !one));
    return isIdle ? undefined : due;
  }

  async #look(): Promise<void> {
    const { kinds, reader } = this.#options.queue;
    const names = kinds.map(({ kind }) => kind);
    const sight = await look(reader, this.#self.id, names);
    const now = performance.now();
    this.lookedAt = now;
    this.#lookAt = now + LOOK_MS;
    if (sight.queued || sight.suspects) this.#mayClaim = true;
    this.#suspectsWait = sight.suspects === 1;
    if (sight.leaseInMs === null) this.#orphans = false; // nothing ran when the process before this one ended
    this.#promoteAt = now + (sight.scheduledInMs ?? Infinity);
    this.#rescueAt = Math.max(now + (sight.leaseInMs ?? Infinity), this.#rescueNotBefore);
    // Others may have room for what has waited here since the last look.
    for (const run of this.#runs.waiting) if (now - run.claimedAt > LOOK_MS / 2) run.handBack();
    const cancelled = new Set<number>(readJson(sight.cancel) as number[]);
    for (const run of this.#runs.open) if (cancelled.has(run.id)) run.abort('cancelled');
  }

  #afterProgress(written: ReadonlySet<FencedProgress | undefined>): void {
    // What has been said meanwhile is written next.
    for (const run of this.#runs.open) if (written.has(run.unsaved)) run.unsaved = undefined;
    this.#progressAt = this.#runs.unsaved().length > 0 ? performance.now() + PROGRESS_MS : Infinity;
    this.#options.bell.ringHere(CHANGED);
  }

  #afterSettle(over: readonly Run[], settled: ReadonlyMap<number, string>): void {
    for (const run of over) {
      const state = settled.get(run.id);
      if (state === undefined) {
        this.#options.log.warn({ task: run.id }, 'a task was taken by another: its result is dropped');
        run.abort('lost');
      }
      if (state === 'scheduled') this.#lookAt = 0;
      if (state !== undefined) this.#options.ended(run.kind.kind, state);
      this.#runs.close(run);
    }
    if (over.length === 0) return;
    this.#options.reached('settled');
    this.#options.bell.ring(CHANGED);
  }

  #afterRenew(renewed: readonly Renewed[]): void {
    this.#renewAt = performance.now() + RENEW_MS;
    this.#strays = this.#runs
      .compare(renewed)
      .map(({ id, attempt }): Outcome => ({ id, attempt, runner: this.#self.id, state: 'queued' }));
    this.#mayHaveStrays = this.#strays.length > 0;
  }

  async #begin(claimed: readonly Claimed[]): Promise<void> {
    if (claimed.length === 0) return;
    this.#options.reached('claimed');
    if (this.#runs.open.size === 0) this.#renewAt = performance.now() + RENEW_MS;
    for (const [nth, one] of claimed.entries()) {
      if (nth % BEGUN_AT_ONCE === 0 && claimed.length > BEGUN_AT_ONCE) {
        this.#runs.startWaiting();
        await new Promise((resolve) => setImmediate(resolve));
      }
      const run = new Run(one, this.#options.queue.find(one.kind), this.#self.id, this.#around);
      this.#runs.add(run);
      if (this.#stopping) run.abort('shutdown');
    }
    this.#runs.startWaiting();
    this.#options.bell.ringHere(CHANGED);
  }
}
