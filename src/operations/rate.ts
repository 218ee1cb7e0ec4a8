/** How far a client is within its rate. */
export interface Standing {
  allowed: boolean;
  /** Requests that it may still make at once. */
  remaining: number;
  /** Seconds after which it may again make as many as ever; when refused, after which it may make one. */
  resetSeconds: number;
}

/**
 * So many requests a second and client, as many of them at once, by the generic cell rate algorithm: of each client one
 * moment is kept, the one at which it will have nothing used. Once it is over there is nothing to know, so what was not
 * asked for in the last second is forgotten a generation at a time, without a list of clients to look through.
 */
export class Rate {
  readonly #stepMs: number;
  #young = new Map<string, number>();
  #old = new Map<string, number>();
  #bornAt = -Infinity;

  constructor(perSecond: number) {
    this.#stepMs = 1000 / perSecond;
  }

  /** How it stands if it makes one more; it is counted unless it is refused. */
  take(client: string, now = performance.now()): Standing {
    const freeAt = Math.max(now, this.#freeAt(client, now)) + this.#stepMs;
    const left = 1000 - (freeAt - now);
    if (left < -1e-6)
      return { allowed: false, remaining: 0, resetSeconds: Math.max(1, Math.ceil(-left / 1000)) };
    this.#young.set(client, freeAt);
    const remaining = Math.floor(left / this.#stepMs + 1e-6);
    return { allowed: true, remaining, resetSeconds: Math.ceil((freeAt - now) / 1000) };
  }

  /** Whether one more would be refused; it is not counted. */
  isOver(client: string, now = performance.now()): boolean {
    return Math.max(now, this.#freeAt(client, now)) + this.#stepMs - now > 1000 + 1e-6;
  }

  get size(): number {
    return this.#young.size + this.#old.size;
  }

  #freeAt(client: string, now: number): number {
    if (now - this.#bornAt >= 1000) {
      // What is in both generations was set before: after two seconds none of it is left.
      this.#old = now - this.#bornAt < 2000 ? this.#young : new Map();
      this.#young = new Map();
      this.#bornAt = now;
    }
    return this.#young.get(client) ?? this.#old.get(client) ?? -Infinity;
  }
}
