import { setTimeout as sleep } from 'node:timers/promises';

/** Whether there was news since it was last forgotten. */
export class News {
  #heard = new AbortController();

  tell(): void {
    this.#heard.abort();
  }

  forget(): void {
    this.#heard = new AbortController();
  }

  /** True as soon as there is any. */
  within(ms: number): Promise<boolean> {
    return sleep(ms, false, { signal: this.#heard.signal }).catch(() => true);
  }
}
