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

  /** True as soon as there is any, or `signal` is aborted. */
  within(ms: number, signal: AbortSignal): Promise<boolean> {
    return sleep(ms, false, { signal: AbortSignal.any([this.#heard.signal, signal]) }).catch(() => true);
  }
}
