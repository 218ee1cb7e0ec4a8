import type { FastifyInstance } from 'fastify';
import { CHANGES } from '../changes/record.ts';
import { hastenByKey } from '../tasks/control.ts';
import { DELIVER, WEBHOOKS } from './topics.ts';

/** Between two looks at least, however fast changes come. */
const LEAST_PAUSE_MS = 100;
/** While a delivery runs and there is more to deliver. */
const AGAIN_MS = 1000;
/** For what nobody was told of, because the process that should have has died. */
const LONGEST_PAUSE_MS = 60_000;

interface Standing {
  id: number;
  behind: number | boolean;
  /** There is something that was not tried yet, and may be at once. */
  fresh: number | boolean | null;
  state: string | null;
}

/**
 * Enqueues a delivery for each webhook that is behind the log and has none. It is told by the bell and does not poll, but
 * for one case: a change that is committed while a delivery ends finds a task that is not finished, and may be too late
 * for it. So it looks again after a second while one runs and is behind. A delivery that waits for its next attempt will
 * see every change by itself, and is woken when only some users' changes are held.
 */
export class Courier {
  readonly #app: FastifyInstance;
  #listening: (() => void)[] = [];
  #timer: NodeJS.Timeout | undefined;
  #dueAt = Infinity;
  #lookedAt = -Infinity;
  #looking: Promise<void> | undefined;
  /** While there is none that is enabled, changes are nothing to look for. */
  #hasWebhooks = true;
  /** The span of the last change that it was told of: what it enqueues continues that one. */
  #cause: string | undefined;
  #open = false;

  constructor(app: FastifyInstance) {
    this.#app = app;
  }

  /** Resolves after the first look: a service without webhooks then asks nothing when users change. */
  async start(): Promise<void> {
    if (this.#open) return;
    this.#open = true;
    const { bell, tracing } = this.#app;
    this.#listening = [
      bell.on(WEBHOOKS, () => this.#lookIn(0)),
      bell.on(CHANGES, () => {
        this.#cause = tracing?.traceparent();
        if (this.#hasWebhooks) this.#lookIn(0);
      }),
    ];
    this.#looking = this.#lookNow();
    await this.#looking;
  }

  async stop(): Promise<void> {
    this.#open = false;
    for (const off of this.#listening) off();
    clearTimeout(this.#timer);
    await this.#looking;
  }

  #lookIn(ms: number): void {
    const now = performance.now();
    const at = Math.max(now + ms, this.#lookedAt + LEAST_PAUSE_MS);
    if (!this.#open || at >= this.#dueAt) return;
    this.#dueAt = at;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#looking = this.#lookNow();
    }, at - now);
  }

  async #lookNow(): Promise<void> {
    await this.#looking;
    this.#dueAt = Infinity;
    this.#lookedAt = performance.now();
    try {
      const nextMs = await this.#look();
      if (nextMs !== undefined) this.#lookIn(nextMs);
    } catch (error) {
      this.#app.log.warn({ err: error }, 'webhooks wait for the database');
      this.#lookIn(AGAIN_MS);
    }
  }

  /** In how many milliseconds to look again; undefined: when the bell rings. */
  async #look(): Promise<number | undefined> {
    const { reader, tasks, write } = this.#app;
    const all = await reader.read<Standing>(
      `select webhooks.id, tasks.state, position < head as behind, tried_up_to < head as fresh
       from (select coalesce((select max(position) from changes), kept_after) as head from change_log) as log,
         webhooks left join tasks on tasks.kind = '${DELIVER}' and tasks.dedupe_key = cast(webhooks.id as text)
         and tasks.finished_at is null
       where disabled_at is null`,
      [],
    );
    this.#hasWebhooks = all.length > 0;
    const behind = all.filter((one) => Boolean(one.behind));
    const idle = behind.filter(({ state }) => state === null);
    const held = behind.filter(({ state, fresh }) => state === 'scheduled' && Boolean(fresh));
    if (idle.length + held.length > 0) {
      const traceparent = this.#cause;
      await write(async (tx) => {
        for (const { id } of held) await hastenByKey(tx, DELIVER, String(id));
        for (const { id } of idle)
          await tasks.enqueue(tx, DELIVER, { webhookId: id }, { dedupeKey: String(id), traceparent });
      });
    }
    if (behind.length === 0) this.#cause = undefined;
    if (behind.some(({ state }) => state !== 'scheduled')) return AGAIN_MS;
    return LONGEST_PAUSE_MS;
  }
}
