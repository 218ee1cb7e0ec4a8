const STEP_MS = 20;
/** Long enough for a few samples, short enough to notice soon when it begins and when it is over. */
export const WINDOW_MS = 100;

/**
 * How late the event loop comes to what is due, window by window: each request waits so long before it is even read.
 * Node's own `monitorEventLoopDelay` says nothing of windows as short: after each reset its first sample is not counted,
 * and a loop that is late for the whole window has no second one.
 */
export class LoopDelay {
  readonly #timer: NodeJS.Timeout;
  #longestMs = 0;
  #mostWorkMs = 0;
  /** The longest delay of the last whole window. */
  lastMs = 0;

  /** `workMs`: the most CPU time that this thread took between two samples; late without it is a loop whose machine is busy with others. */
  constructor(measured: (delayMs: number, workMs: number) => void) {
    let last = performance.now();
    let used = process.threadCpuUsage();
    let windowEnd = last + WINDOW_MS;
    this.#timer = setInterval(() => {
      const now = performance.now();
      this.#longestMs = Math.max(this.#longestMs, now - last - STEP_MS);
      last = now;
      const { user, system } = process.threadCpuUsage(used);
      used = { user: used.user + user, system: used.system + system };
      this.#mostWorkMs = Math.max(this.#mostWorkMs, (user + system) / 1000);
      if (now < windowEnd) return;
      const workMs = this.#mostWorkMs;
      this.lastMs = this.#longestMs;
      [this.#longestMs, this.#mostWorkMs] = [0, 0];
      windowEnd = now + WINDOW_MS;
      measured(this.lastMs, workMs);
    }, STEP_MS).unref();
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}
