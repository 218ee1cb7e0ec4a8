import type { FastifyInstance } from 'fastify';
import plugin from 'fastify-plugin';

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
  #asked: Promise<Readiness> | undefined;
  #askedAt = -Infinity;
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
    const now = performance.now();
    if (this.#asked === undefined || now - this.#askedAt > KEPT_MS) {
      this.#askedAt = now;
      this.#asked = this.#ask();
    }
    const { ready, checks } = await this.#asked;
    const service: Verdict = this.serves
      ? { status: 'ok' }
      : { status: 'failed', detail: 'is starting or stopping' };
    return { ready: ready && this.serves, checks: { service, ...checks } };
  }

  async #ask(): Promise<Readiness> {
    const names = [...this.#checks.keys()];
    const verdicts = await Promise.all([...this.#checks].map(([name, work]) => this.#make(name, work)));
    return {
      ready: verdicts.every(({ status }) => status === 'ok'),
      checks: Object.fromEntries(names.map((name, nth) => [name, verdicts[nth] as Verdict])),
    };
  }

  async #make(name: string, work: Check): Promise<Verdict> {
    const late = Promise.withResolvers<string>();
    // When this process is late itself, what has been answered meanwhile is read first.
    const timer = setTimeout(
      () => setImmediate(() => late.resolve('gave no answer within a second')),
      LONGEST_MS,
    );
    try {
      const detail = await Promise.race([work(), late.promise]);
      return detail === undefined ? { status: 'ok' } : { status: 'failed', detail };
    } catch (error) {
      this.#failed(name, error); // the message may name hosts, files or people: the log has it
      return { status: 'failed', detail: 'failed' };
    } finally {
      clearTimeout(timer);
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
