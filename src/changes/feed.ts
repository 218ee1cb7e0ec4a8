import { setImmediate as turn, setTimeout as wait } from 'node:timers/promises';
import type { FastifyBaseLogger } from 'fastify';
import type { Bell } from '../db/bell.ts';
import type { Reader } from '../db/reader.ts';
import { type EventSink, eventFrame, HEARTBEAT_MS, STALLED_MS } from '../http/sse.ts';
import type { ChangeType } from './change.entity.ts';
import { readChanges } from './log.ts';
import { CHANGES } from './record.ts';
import { type Batch, batchOf, entryOf, Ring } from './ring.ts';

/** Streams that are served without a pause: about 1 ms, after which requests have their turn. */
const SLICE = 64;
/** Behind the bell: how long a change may go unseen when nobody heard it. Heartbeats are due at this pace, too. */
const LOOK_MS = 1000;
/** Between two rounds at least; and a tenth of what the last one took: requests have their turns within a round, too. */
const LEAST_REST_MS = 10;
/** Streams that read what they have missed, each on its own, from the database. */
const CATCH_UPS_AT_ONCE = 4;
const CATCH_UP_CHANGES = 200;
/** How long one of them may keep its place while its client takes a piece. */
const CATCH_UP_WAIT_MS = 50;
/**
 * Rounds in which those who take can come to the head, before more is read and the oldest is dropped: then they would
 * all have to read the database by themselves. 20 pieces are more than is at hand.
 */
const MOST_ROUNDS = 20;

interface Follower {
  sink: EventSink;
  /** All up to here has been given to it. */
  position: number;
  types: readonly ChangeType[] | undefined;
  givenAt: number;
}

/**
 * The live feed. One reader for the whole process keeps the newest changes at hand (see `Ring`), and in rounds gives
 * every stream what it has not had, in one piece. A stream that is further behind reads pages from the database until
 * it is near enough. Nothing is buffered for a client: who has not taken the last piece gets no other.
 */
export class Feed {
  readonly #reader: Reader;
  readonly #log: FastifyBaseLogger;
  readonly #stalledMs: number;
  readonly #off: () => void;
  readonly #live = new Set<Follower>();
  readonly #behind: Follower[] = [];
  readonly #catchingUp = new Set<Follower>();
  /** Undefined while nobody follows. */
  #ring: Ring | undefined;
  #running: Promise<void> | undefined;
  #isNews = false;
  #wake: () => void = () => {};
  #open = true;

  /** `stalledMs`: after which a client that has taken nothing is cut. */
  constructor(reader: Reader, bell: Bell, log: FastifyBaseLogger, stalledMs = STALLED_MS) {
    this.#reader = reader;
    this.#stalledMs = stalledMs;
    this.#log = log;
    this.#off = bell.on(CHANGES, () => this.#news());
  }

  /** Gives `sink` all changes after `position`, of these types or of all, until `signal` is aborted. */
  follow(sink: EventSink, signal: AbortSignal, position: number, types?: readonly ChangeType[]): void {
    signal.addEventListener('abort', () => sink.end(), { once: true });
    if (signal.aborted) sink.end();
    sink.write(`retry: 1000\n${eventFrame({ event: 'position', id: String(position), data: { position } })}`);
    this.#behind.push({ sink, position, types, givenAt: performance.now() });
    this.#running ??= this.#run();
    this.#startCatchUps();
  }

  get followers(): number {
    return this.#live.size + this.#behind.length + this.#catchingUp.size;
  }

  /** The position up to which every stream has been given all; undefined while there is none. */
  get slowest(): number | undefined {
    let slowest: number | undefined;
    for (const all of [this.#live, this.#behind, this.#catchingUp]) {
      for (const { position } of all) slowest = Math.min(slowest ?? position, position);
    }
    return slowest;
  }

  async stop(): Promise<void> {
    this.#open = false;
    this.#off();
    this.#wake();
    await this.#running;
  }

  #news(): void {
    this.#isNews = true;
    this.#wake();
  }

  async #run(): Promise<void> {
    let rounds = MOST_ROUNDS;
    while (this.#open && this.followers > 0) {
      const began = performance.now();
      this.#isNews = false;
      try {
        this.#ring ??= await Ring.open(this.#reader);
        if (++rounds >= MOST_ROUNDS) {
          if (await this.#ring.read()) this.#isNews = true;
          rounds = 0;
        }
        this.#startCatchUps();
        const isSomebodyBehind = await this.#round(this.#ring);
        if (!isSomebodyBehind) rounds = MOST_ROUNDS;
        else this.#isNews = true;
      } catch (error) {
        this.#log.warn({ err: error }, 'the feed waits for the database');
        this.#ring = undefined; // what follows it may not be kept any more: begin anew
        rounds = MOST_ROUNDS;
      }
      await wait(Math.max(LEAST_REST_MS, (performance.now() - began) / 10));
      if (!this.#isNews && this.#open) await this.#newsOrTime();
    }
    this.#ring = undefined;
    this.#running = undefined;
  }

  #newsOrTime(): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, LOOK_MS);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  /** Gives to all what they have not had, and says whether one of those who take is not at the head yet. */
  async #round(ring: Ring): Promise<boolean> {
    let served = 0;
    let isSomebodyBehind = false;
    for (const follower of this.#live) {
      if (this.#serve(follower, ring)) isSomebodyBehind = true;
      if (++served % SLICE === 0) await turn();
      if (!this.#open) break;
    }
    return isSomebodyBehind;
  }

  #serve(follower: Follower, ring: Ring): boolean {
    const { sink, position, types } = follower;
    const silentMs = performance.now() - follower.givenAt;
    if (sink.closed) {
      this.#live.delete(follower);
    } else if (!sink.taken) {
      if (silentMs > this.#stalledMs) this.#cut(follower);
    } else if (position < ring.start) {
      this.#live.delete(follower);
      this.#behind.push(follower);
      this.#startCatchUps();
    } else {
      const { frames, upTo } = position < ring.head ? ring.after(position, types) : nothingAfter(position);
      follower.position = upTo;
      if (frames.length > 0) this.#give(follower, frames);
      else if (silentMs > HEARTBEAT_MS) this.#give(follower, `: still here\nid: ${upTo}\n\n`);
      return upTo < ring.head;
    }
    return false;
  }

  #give(follower: Follower, frames: string | Uint8Array): void {
    follower.givenAt = performance.now();
    follower.sink.write(frames);
  }

  /** It comes back with its last position, and has lost nothing. */
  #cut(follower: Follower): void {
    this.#log.debug({ position: follower.position }, 'a stream that nobody reads was cut');
    this.#live.delete(follower);
    follower.sink.cut();
  }

  #startCatchUps(): void {
    const ring = this.#ring;
    if (ring === undefined) return;
    for (let at = this.#behind.length; at > 0; at--) {
      const follower = this.#behind.shift();
      if (follower === undefined) return;
      if (follower.position >= ring.start) this.#live.add(follower);
      else if (this.#catchingUp.size >= CATCH_UPS_AT_ONCE) this.#behind.push(follower);
      else {
        this.#catchingUp.add(follower);
        this.#catchUp(follower, ring).finally(() => {
          this.#catchingUp.delete(follower);
          this.#startCatchUps();
        });
      }
    }
  }

  /**
   * From the database, until the ring has all that is missing, or the client does not take it at once: it gives up its
   * place then, and comes back when it has.
   */
  async #catchUp(follower: Follower, ring: Ring): Promise<void> {
    const { sink, types } = follower;
    try {
      do {
        if (sink.closed || !this.#open) return;
        const page = await readChanges(this.#reader, follower.position, CATCH_UP_CHANGES, types);
        const { frames, upTo } = batchOf(page.changes.map(entryOf), page.upTo);
        follower.position = upTo;
        this.#give(follower, frames);
      } while (follower.position < ring.start && (await sink.whenTaken(CATCH_UP_WAIT_MS)));
      this.#live.add(follower);
      this.#news();
    } catch (error) {
      // What it has missed is not kept any more, or cannot be read: it comes back, and is told.
      this.#log.warn({ err: error }, 'a stream was cut: what it has missed cannot be read');
      this.#cut(follower);
    }
  }
}

function nothingAfter(position: number): Batch {
  return { frames: new Uint8Array(), upTo: position };
}
