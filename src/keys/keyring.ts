import { toDate } from '../db/dialect.ts';
import { readJson } from '../db/json.ts';
import type { Reader } from '../db/reader.ts';
import { type Access, type Scope, wrongKey } from '../http/access.ts';
import { findKey, hasKeys, idOf, isGood, isValid, type KeyRow } from './keys.ts';

/** How long what was read of a key may be used: a key that was revoked on another replica is refused within a second. */
const FRESH_MS = 900;
/** Keys that are remembered at most: wrong ones are remembered, too. */
const MOST_KEYS = 10_000;
/** How exact "last used" is. */
const USED_EVERY_MS = 60_000;

type Soon<T> = T | Promise<T>;

interface Known<T> {
  /** What the database said; a promise until it has. */
  value: Soon<T>;
  readAt: number;
}

/** What is being read. When that fails, `failed` forgets it. */
function read<T>(reading: Promise<T>, failed: () => void): Known<T> {
  const known: Known<T> = { value: reading, readAt: performance.now() };
  known.value = reading.then(
    (value) => {
      known.value = value;
      return value;
    },
    (error) => {
      failed();
      throw error;
    },
  );
  return known;
}

function isFresh({ readAt }: Known<unknown>): boolean {
  return performance.now() - readAt <= FRESH_MS;
}

/**
 * The API keys as this process knows them: read when they are asked for, and again when that is a moment ago. What is
 * known is given at once: a promise before each request would cost a look-up a tenth of its time.
 */
export class Keyring {
  readonly #reader: Reader;
  readonly #used: (id: string) => void;
  readonly #known = new Map<string, Known<KeyRow | undefined>>();
  readonly #usedAt = new Map<string, number>();
  #any: Known<boolean> | undefined;

  /** `used` is told at most once a minute that a key was used. */
  constructor(reader: Reader, used: (id: string) => void) {
    this.#reader = reader;
    this.#used = used;
  }

  /** Whether there is a key, or ever was one. Once there is, that stays so. */
  isThereAny(): Soon<boolean> {
    if (this.#any === undefined || (this.#any.value !== true && !isFresh(this.#any))) {
      this.#any = read(hasKeys(this.#reader), () => {
        this.#any = undefined;
      });
    }
    return this.#any.value;
  }

  /** To be told of each key that was made or revoked: what was read before that is not given again. */
  forget(): void {
    if (this.#any?.value !== true) this.#any = undefined;
    this.#known.clear();
  }

  /** @throws {Unauthorized} for whatever is not a key that holds */
  check(key: string): Soon<Access> {
    const id = idOf(key);
    if (id === undefined) throw wrongKey();
    const row = this.#find(id);
    return row instanceof Promise ? row.then((found) => this.#admit(found, key)) : this.#admit(row, key);
  }

  #admit(row: KeyRow | undefined, key: string): Access {
    if (row === undefined || !isGood(row, key)) throw wrongKey();
    this.#note(row);
    const scopes = readJson(row.scopes) as readonly Scope[];
    return {
      actor: `key:${row.id}`,
      may: (scope) => scopes.includes(scope),
      stillHolds: async () => {
        const now = await this.#find(row.id);
        return now !== undefined && isValid(now);
      },
    };
  }

  #find(id: string): Soon<KeyRow | undefined> {
    const known = this.#known.get(id);
    if (known !== undefined && isFresh(known)) return known.value;
    const row = read(findKey(this.#reader, id), () => this.#known.delete(id));
    this.#known.delete(id); // to the end of the line
    this.#known.set(id, row);
    if (this.#known.size > MOST_KEYS) this.#known.delete(this.#known.keys().next().value ?? '');
    return row.value;
  }

  #note(row: KeyRow): void {
    const now = Date.now();
    const last =
      this.#usedAt.get(row.id) ?? (row.last_used_at === null ? 0 : toDate(row.last_used_at).getTime());
    if (now - last < USED_EVERY_MS) return;
    this.#usedAt.set(row.id, now);
    this.#used(row.id);
  }
}
