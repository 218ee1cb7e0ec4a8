import type { EntityClass, RequiredEntityData } from '@mikro-orm/core';
import type { EntityManager } from '@mikro-orm/sql';
import DataLoader from 'dataloader';
import { deleteRows, findIds, insertRows, lockRows, updateRows } from './rows.ts';
import { execute, isSqlite } from './statement.ts';

/**
 * One client's write inside a transaction that it may share with others. Rules for a function that takes one:
 *
 * - look at everything first, then change: a `Refusal` thrown before the first `insert()` that succeeds and the first
 *   `update()` or `remove()` must leave nothing changed;
 * - no `await` between the last look at an entity and its change, so that writes to one user follow one another;
 * - wait for nothing but the database: the others wait too;
 * - do not take what `execute()` finds for all that is: what others here have changed, but not flushed yet, it does not see,
 *   nor the changes they record; and what it has found, they may change. `lock()` gives what all of them share.
 *
 * What is asked for in one turn, by all of them, shares one statement.
 */
export interface Tx {
  readonly em: EntityManager;
  /** Runs a statement, its values apart from its text (`?`). The texts must be few. One that writes: `changed()`. */
  execute<Row>(sql: string, values: readonly unknown[]): Promise<Row[]>;
  /**
   * The row with this id as it is now, locked until the transaction ends, or undefined. All works of the transaction
   * have the same object: what one has changed, the next one sees.
   */
  lock<T extends { id: number }>(entity: EntityClass<T>, id: number): Promise<T | undefined>;
  /**
   * Writes locked rows that have been changed. A property that has changed has a new value: what is changed inside of an
   * object is not noticed.
   */
  update<T extends { id: number }>(entity: EntityClass<T>, rows: readonly T[]): Promise<void>;
  /** Deletes a locked row. */
  remove<T extends { id: number }>(entity: EntityClass<T>, row: T): Promise<void>;
  /** Whether a work of this transaction has removed the row since it was locked. */
  isRemoved(row: object): boolean;
  /** The id of the row whose `property` has this value, or undefined. Nothing is locked. */
  findId<T extends object>(
    entity: EntityClass<T>,
    property: keyof T & string,
    value: string,
  ): Promise<number | undefined>;
  /** Inserts a row and gives its id, or undefined when another has the same value of `unique`. */
  insert<T extends object>(
    entity: EntityClass<T>,
    unique: keyof T & string,
    row: RequiredEntityData<T>,
  ): Promise<number | undefined>;
  /**
   * Asks for `key` together with all who ask under the same `name` in one turn: `batch` gets their keys, in order, and
   * gives as many answers (an `Error` among them is thrown to the one who asked). One that writes calls `changed()`.
   */
  together<K, V>(
    name: string,
    key: K,
    batch: (keys: readonly K[]) => Promise<readonly (V | Error)[]>,
  ): Promise<V>;
  /** To be called when something was written by `em` or in `together`: a refusal after it undoes the transaction. */
  changed(): void;
  /**
   * Keeps `item` until every work of the transaction is done; right before the commit `batch` gets all that were kept
   * under this `name`, in order. For what takes a lock that others wait for.
   */
  last<T>(name: string, item: T, batch: (items: readonly T[]) => Promise<void>): void;
  /** Rings the bell under this topic when the transaction is committed: once, however many ask for it. */
  ring(topic: string): void;
}

type LastBatch = (items: readonly unknown[]) => Promise<void>;

/** Another transaction holds a row that this write wants. It has changed nothing yet, and is run again where it may wait. */
export class RowLocked extends Error {}

/** The works of one transaction: they run side by side, and their statements are made together. */
export class SharedTx {
  readonly #em: EntityManager;
  readonly #mayWait: boolean;
  readonly #loaders = new Map<string, DataLoader<unknown, unknown>>();
  readonly #locked = new Map<EntityClass<object>, Map<number, object>>();
  /** What locked rows are in the database. */
  readonly #written = new WeakMap<object, object>();
  readonly #removed = new WeakSet<object>();
  readonly #last = new Map<string, { items: unknown[]; batch: LastBatch }>();
  /** The topics to ring when it is committed. */
  readonly topics = new Set<string>();

  /** `mayWait`: whether to wait for a row that another transaction holds; with others in it, nobody should. */
  constructor(em: EntityManager, mayWait: boolean) {
    this.#em = em;
    this.#mayWait = mayWait;
  }

  /** Runs one work. `changed` tells afterwards whether it may have left anything in the transaction. */
  run<T>(work: (tx: Tx) => Promise<T>, changed: () => void): Promise<T> {
    return work({
      em: this.#em,
      execute: (sql, values) => execute(this.#em, sql, values),
      lock: (entity, id) => this.#lock(entity, id),
      update: (entity, rows) => {
        changed();
        return this.#update(entity, rows);
      },
      remove: (entity, row) => {
        changed();
        this.#removed.add(row);
        return this.#remove(entity, row.id);
      },
      isRemoved: (row) => this.#removed.has(row),
      findId: (entity, property, value) =>
        this.#together(`find ${entity.name}.${property}`, value, async (values: readonly string[]) => {
          const ids = await findIds(this.#em, entity, property, values);
          return values.map((one) => ids.get(one));
        }),
      insert: async (entity, unique, row) => {
        const id = await this.#insert(entity, unique, row);
        if (id !== undefined) changed();
        return id;
      },
      together: (name, key, batch) => this.#together(name, key, batch),
      changed,
      last: (name, item, batch) => {
        changed();
        const { items } = this.#last.get(name) ?? {};
        if (items === undefined) this.#last.set(name, { items: [item], batch: batch as LastBatch });
        else items.push(item);
      },
      ring: (topic) => void this.topics.add(topic),
    });
  }

  /** To be called when every work is done, right before the commit. */
  async finish(): Promise<void> {
    for (const { items, batch } of this.#last.values()) await batch(items);
  }

  #lock<T extends { id: number }>(entity: EntityClass<T>, id: number): Promise<T | undefined> {
    return this.#together(`lock ${entity.name}`, id, async (ids: readonly number[]) => {
      const locked = (this.#locked.get(entity) ?? new Map()) as Map<number, T>;
      this.#locked.set(entity, locked);
      const wanted = [...new Set(ids)].filter((one) => !locked.has(one));
      const found = await lockRows(this.#em, entity, wanted, this.#mayWait);
      for (const row of found) {
        locked.set(row.id, row);
        this.#written.set(row, { ...row });
      }
      const heldByOthers = await this.#lockedByOthers(
        entity,
        wanted.filter((one) => !locked.has(one)),
      );
      return ids.map((one) => (heldByOthers.has(String(one)) ? new RowLocked() : locked.get(one)));
    });
  }

  /** `skip locked` leaves out what others hold, as if it were not there. On SQLite nobody else is. */
  async #lockedByOthers(entity: EntityClass<object>, missing: number[]): Promise<Map<string, number>> {
    if (this.#mayWait || missing.length === 0 || isSqlite(this.#em)) return new Map();
    return findIds(this.#em, entity, 'id', missing);
  }

  #insert(entity: EntityClass<object>, unique: string, row: object): Promise<number | undefined> {
    return this.#together(`insert ${entity.name}`, row, async (rows: readonly object[]) => {
      const ids = await insertRows(this.#em, entity, unique, rows);
      return rows.map((one) => {
        const key = String(Reflect.get(one, unique));
        const id = ids.get(key);
        ids.delete(key); // the first of two that are the same has it
        return id;
      });
    });
  }

  #update(entity: EntityClass<object>, rows: readonly object[]): Promise<void> {
    return this.#together(`update ${entity.name}`, rows, async (all: readonly (readonly object[])[]) => {
      const changed = [...new Set(all.flat())].map((row) => ({ row, was: this.#written.get(row) ?? {} }));
      const written = updateRows(this.#em, entity, changed); // it has read the rows when it returns
      for (const { row } of changed) this.#written.set(row, { ...row });
      await written;
      return all.map(() => undefined);
    });
  }

  #remove(entity: EntityClass<object>, id: number): Promise<void> {
    return this.#together(`delete ${entity.name}`, id, async (ids: readonly number[]) => {
      await deleteRows(this.#em, entity, ids);
      for (const one of ids) this.#locked.get(entity)?.delete(one);
      return ids.map(() => undefined);
    });
  }

  #together<K, V>(
    name: string,
    key: K,
    batch: (keys: readonly K[]) => Promise<readonly (V | Error)[]>,
  ): Promise<V> {
    let loader = this.#loaders.get(name) as DataLoader<K, V> | undefined;
    if (loader === undefined) {
      // No cache: what was not there a moment ago may be there now, this very transaction may have made it.
      loader = new DataLoader(batch, { cache: false });
      this.#loaders.set(name, loader as DataLoader<unknown, unknown>);
    }
    return loader.load(key);
  }
}
