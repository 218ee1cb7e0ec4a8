import type { FastifyInstance } from 'fastify';
import plugin from 'fastify-plugin';
import { keep, LATE, within } from './patience.ts';

/** How long an answer may be given again. */
const KEPT_MS = 1000;
/** What a check may take: whoever asks wants to know now. */
const LONGEST_MS = 1000;

/** What is wrong, in words that may be shown to anybody; undefined when nothing is. */
type Check = () => Promise<string | undefined>;

export interface Verdict {
  status: 'ok' | 'failed';
  detail?: string;
}

export interface Readiness {
  ready: boolean;
  checks: Record<string, Verdict>;
}

declare module 'fastify' {
  interface FastifyInstance {
    health: Health;
  }
}

/**
 * Whether this replica can serve. Each feature says by a check of its own what it needs for that. All checks are made at
 * once, each in a second at most, and however many ask, at most once a second.
 */
export class Health {
  readonly #checks = new Map<string, Check>();
  readonly #failed: (name: string, error: unknown) => void;
  /** Between `onReady` and the shutdown. */
  serves = false;

  /** `failed` is told of a check that threw. */
  constructor(failed: (name: string, error: unknown) => void) {
    this.#failed = failed;
  }

  /** `work` must not wait for what others wait for, the write queue or the pool: full is not ill. */
  check(name: string, work: Check): void {
    this.#checks.set(name, work);
  }

  async ask(): Promise<Readiness> {
    const checks = await this.#makeAll();
    const service: Verdict = this.serves
      ? { status: 'ok' }
      : { status: 'failed', detail: 'is starting or stopping' };
    const ready = [service, ...Object.values(checks)].every(({ status }) => status === 'ok');
    return { ready, checks: { service, ...checks } };
  }

  readonly #makeAll = keep(KEPT_MS, async () => {
    const all = [...this.#checks].map(async ([name, work]) => [name, await this.#make(name, work)] as const);
    return Object.fromEntries(await Promise.all(all));
  });

  async #make(name: string, work: Check): Promise<Verdict> {
    try {
      const detail = await within(LONGEST_MS, work());
      if (detail === undefined) return { status: 'ok' };
      return { status: 'failed', detail: detail === LATE ? 'gave no answer within a second' : detail };
    } catch (error) {
      this.#failed(name, error); // the message may name hosts, files or people: the log has it
      return { status: 'failed', detail: 'failed' };
    }
  }
}

export default plugin(
  async (app: FastifyInstance) => {
    const health = new Health((name, err) => app.log.warn({ err, check: name }, 'a health check failed'));
    app.decorate('health', health);
    app.addHook('onReady', async () => {
      health.serves = true;
    });
    app.addHook('preClose', async () => {
      health.serves = false;
    });
  },
  { name: 'health' },
);
