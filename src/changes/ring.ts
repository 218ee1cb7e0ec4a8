import type { Reader } from '../db/reader.ts';
import { eventFrame } from '../http/sse.ts';
import type { ChangeType } from './change.entity.ts';
import { type ChangeRow, changeJson, readChanges, readExtent } from './log.ts';

/** Changes that are kept at hand for all streams, at most, by number and by characters. */
const MOST_CHANGES = 1000;
const MOST_CHARS = 4_194_304;
/** Read at once. */
const PAGE_CHANGES = MOST_CHANGES / 2;
/** What one stream is given at once: events up to so many characters, or a single larger one. */
const BATCH_CHARS = 65_536;

interface Entry {
  position: number;
  type: ChangeType;
  frame: string;
}

/** A change, written as an event. */
export function entryOf(row: ChangeRow): Entry {
  const frame = eventFrame({ event: row.type, id: String(row.position), data: changeJson(row) });
  return { position: Number(row.position), type: row.type, frame };
}

/** Batches that are kept for whoever is at the same place. */
const MOST_BATCHES = 100;

/** Events, and up to which position they are all. */
export interface Batch {
  frames: Uint8Array;
  upTo: number;
}

/** As many of these events as go into one piece. `upTo`: where they end if all do. */
export function batchOf(entries: Iterable<{ position: number; frame: string }>, upTo: number): Batch {
  let text = '';
  let last: number | undefined;
  for (const { position, frame } of entries) {
    if (text !== '' && text.length + frame.length > BATCH_CHARS) {
      return { frames: Buffer.from(text), upTo: last ?? upTo };
    }
    text += frame;
    last = position;
  }
  return { frames: Buffer.from(text), upTo };
}

/** The newest changes, each written as an event once for all streams: all after `start`, up to `head`. */
export class Ring {
  readonly #reader: Reader;
  readonly #entries: Entry[] = [];
  readonly #batches = new Map<string, Batch>();
  #chars = 0;
  start: number;
  head: number;

  private constructor(reader: Reader, start: number) {
    this.#reader = reader;
    this.start = start;
    this.head = start;
  }

  static async open(reader: Reader): Promise<Ring> {
    const { head, keptAfter } = await readExtent(reader);
    return new Ring(reader, Math.max(keptAfter, head - PAGE_CHANGES));
  }

  /** Reads what is new, and says whether there is more. */
  async read(): Promise<boolean> {
    const { changes, upTo, head } = await readChanges(this.#reader, this.head, PAGE_CHANGES);
    if (upTo === this.head) return false;
    // What is at hand of a user who was erased meanwhile must not be given to anybody.
    if (changes.some(({ type }) => type === 'user.erased')) this.#forget(0);
    for (const change of changes) {
      const entry = entryOf(change);
      this.#entries.push(entry);
      this.#chars += entry.frame.length;
    }
    this.head = upTo;
    this.#batches.clear();
    this.#forget(MOST_CHANGES);
    return upTo < head;
  }

  /** Events after a position, `start` or later, and up to where. Made once for all streams that are there and want the same. */
  after(position: number, types: readonly ChangeType[] | undefined): Batch {
    const name = `${position} ${types}`;
    const made = this.#batches.get(name);
    if (made !== undefined) return made;
    const wanted = this.#entries.filter(
      (entry) => entry.position > position && types?.includes(entry.type) !== false,
    );
    const batch = batchOf(wanted, this.head);
    if (this.#batches.size >= MOST_BATCHES) this.#batches.clear();
    this.#batches.set(name, batch);
    return batch;
  }

  /** Drops the oldest until so many are left, and no more characters than may be. */
  #forget(most: number): void {
    let many = 0;
    for (const { position, frame } of this.#entries) {
      if (this.#entries.length - many <= most && this.#chars <= MOST_CHARS) break;
      many++;
      this.#chars -= frame.length;
      this.start = position;
    }
    this.#entries.splice(0, many);
  }
}
