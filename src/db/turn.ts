/**
 * What is put off to the end of a turn of the event loop, when every request that has arrived is read: look-ups, so that
 * they share a query, and then the writes, when those are answered. On SQLite a write stops all else for a millisecond
 * or more. With an immediate of its own it came before the look-ups that were read after it was asked for, and who
 * had arrived during one write waited for the next one too.
 */
export class Turn {
  #lookups: (() => void)[] = [];
  #writes: (() => void)[] = [];
  #scheduled = false;

  lookup(work: () => void): void {
    this.#lookups.push(work);
    this.#schedule();
  }

  write(work: () => void): void {
    this.#writes.push(work);
    this.#schedule();
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    // Not a timer: the check phase follows the poll phase in which the requests of this turn are read.
    setImmediate(() => {
      this.#scheduled = false;
      const [lookups, writes] = [this.#lookups, this.#writes];
      [this.#lookups, this.#writes] = [[], []];
      for (const work of lookups) work();
      if (writes.length === 0) return;
      // Answers are made in promises, and a tick that is asked for among those comes when none of them is left.
      queueMicrotask(() =>
        process.nextTick(() => {
          for (const work of writes) work();
        }),
      );
    });
  }
}
