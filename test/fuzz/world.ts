import { isDeepStrictEqual } from 'node:util';
import type { FastifyInstance, InjectOptions } from 'fastify';
import { buildApp } from '../../src/app.ts';
import { loadConfig } from '../../src/config.ts';
import { readJson } from '../../src/db/json.ts';
import { fromNow } from '../../src/db/time.ts';
import { SCOPES } from '../../src/http/access.ts';
import { createKey } from '../../src/keys/keys.ts';
import type { User } from '../../src/users/users.schemas.ts';
import { Networks } from '../../src/webhooks/networks.ts';
import { type Change, fold } from '../support/log.ts';
import { Failure } from './failure.ts';
import type { ImportTask, Row } from './imports.ts';
import type { Judge, Rules, Verdict } from './judge.ts';
import { type Answer, Memory, type Sent, textsOf } from './memory.ts';
import { type Done, Model } from './model.ts';
import type { Target } from './raw.ts';
import { checkReading } from './readings.ts';
import type { Step } from './steps.ts';
import { walkAll } from './walks.ts';
import { Wire } from './wire.ts';

/** Tasks that change no user. */
const HARMLESS = ['sleep', 'gather', 'prune', 'deliver', 'test-webhook'];
/** Of tasks and schedules: those that may change one. What is gathered is in the input, until its turn comes. */
const CHANGES = `kind not in (${HARMLESS.map(() => '?').join()})`;
const BEGETS = `cast(input as text) like '%"erase"%'`;
const SETTLED_MS = 5000;
/** At the end nothing else is waited for. */
const ALL_SETTLED_MS = 60_000;
/** What keeps what it was sent, besides users. */
const KEPT = ['webhooks', 'schedules', 'keys'];
/** Users of earlier chains that a new one knows. */
const KNOWN = 5;

/** Made-up webhooks reach nobody. */
class Nowhere extends Networks {
  override admits(): boolean {
    return false;
  }
}

/** A service of its own on a fresh database, the model of what it must hold, and all that is asked of each answer. */
export class World {
  readonly #app: FastifyInstance;
  readonly #errors: string[];
  readonly #judge: Judge;
  readonly #check: Rules['check'];
  readonly #model = new Model();
  readonly #wire: Wire;
  readonly #bearer: string;
  readonly #port: number;
  /** Requests that were sent to be looked at. */
  requests = 0;
  /** How often each status was answered. */
  readonly statuses = new Map<number, number>();
  memory: Memory;

  private constructor(app: FastifyInstance, errors: string[], rules: Rules, key: string, port: number) {
    this.#app = app;
    this.#errors = errors;
    this.#check = rules.check;
    this.#judge = rules.judge;
    this.#wire = new Wire(port);
    this.#bearer = `Bearer ${key}`;
    this.#port = port;
    this.memory = this.newMemory();
  }

  static async open(rules: Rules, databaseUrl: string): Promise<World> {
    const errors: string[] = [];
    const stream = {
      write(line: string) {
        type Line = { level: number; task?: number; err?: { code?: string } };
        const { level, task, err } = readJson(line) as Line;
        // A task that was made to fail says so; that it was no accident its code tells.
        if (level >= 50 && (task === undefined || err?.code === undefined)) errors.push(line);
      },
    };
    const config = {
      ...loadConfig({}),
      databaseUrl,
      logLevel: 'warn' as const,
      taskConcurrency: 10_000, // a task that sleeps for a day must not keep those after it waiting
      maxEventLoopDelayMs: 0, // with another world in the same process it is late for other reasons than its load
    };
    const app = await buildApp(config, stream, { sender: { networks: new Nowhere('none') } });
    // Before it is ready: it remembers for a while that there is no key, and would let everybody in.
    const { key } = await app.write((tx) => createKey(tx, { name: 'fuzz', scopes: SCOPES }));
    await app.listen({ host: '127.0.0.1', port: 0 });
    const address = app.server.address();
    if (address === null || typeof address === 'string') throw new Error('no port');
    return new World(app, errors, rules, key, address.port);
  }

  newMemory(): Memory {
    const memory = new Memory(this.#bearer, this.#bearer.split('_')[1] ?? '');
    for (const user of [...this.#model.users.values()].slice(-KNOWN)) memory.learnUser(user);
    return memory;
  }

  /** @throws {Error} when an answer, or what came of it, is not as it must be */
  async take(step: Step): Promise<Sent> {
    const sent = this.memory.resolve(step);
    const verdict = this.#judge.judge(sent, (value) => this.#bearerOf(value));
    await this.#followTasks();
    const predicted = this.#model.predict(verdict);
    let answer: Answer | undefined;
    try {
      answer = await this.#send(sent);
      this.#checkAnswer(sent, verdict, answer);
      if (predicted !== undefined && !predicted.includes(answer.status))
        throw new Error(`not ${predicted.join(' or ')}`);
      if (predicted !== undefined) this.#model.held.predicted++;
      if (isReading(verdict, sent, answer)) checkReading(this.#model, verdict, answer);
      await this.#checkEffects(sent, verdict, answer);
    } catch (error) {
      throw new Failure([sent], error, verdict, answer);
    }
    this.memory.learn(sent, answer);
    return sent;
  }

  /**
   * Sends all of them in the same turn. In which order they are done nobody knows; but what was accepted must have been
   * done once, and what was refused not at all.
   * @throws {Error}
   */
  async takeAtOnce(steps: readonly Step[]): Promise<void> {
    const sent = steps
      .filter((one) => one.target === undefined)
      .map((one) => this.memory.resolve({ ...one, wire: false }));
    const clean = sent.filter(
      ({ target }) => /^\/[\w%.~/-]+(?:\?[\w%.~+&=!'()*-]*)?$/.test(target) && !/\/\.|%2e/i.test(target),
    );
    const verdicts = clean.map((one) => this.#judge.judge(one, (value) => this.#bearerOf(value)));
    await this.#followTasks();
    try {
      const answers = await Promise.all(clean.map((one) => this.#send(one)));
      const done = clean.map(
        (one, at): Done => ({
          sent: one,
          verdict: verdicts[at] ?? NOTHING,
          answer: answers[at] ?? NO_ANSWER,
        }),
      );
      for (const { sent: one, verdict, answer } of done) this.#checkAnswer(one, verdict, answer);
      for (const { verdict, answer } of done)
        if (answer.status < 300) await this.#expectTasks(verdict, answer);
      this.#model.applyAll(done, await this.#newChanges());
      for (const id of new Set(verdicts.map(({ path }) => Number(path.id))))
        if (Number.isSafeInteger(id)) await this.#checkUser(id);
    } catch (error) {
      throw new Failure(clean, error);
    }
  }

  async #send(sent: Sent): Promise<Answer> {
    this.requests++;
    if (sent.step.wire) return this.#wire.exchange(sent);
    const { method, target, headers, body } = sent;
    return this.#inject(method, target, Object.fromEntries(headers), body);
  }

  async #inject(
    method: string,
    url: string,
    headers: Record<string, string>,
    payload?: Buffer,
  ): Promise<Answer> {
    const options = { method: method as InjectOptions['method'], url, headers, ...(payload && { payload }) };
    const response = await this.#app.inject(options as InjectOptions);
    const texts = Object.entries(response.headers).map(([name, value]) => [
      name,
      value === undefined ? value : String(value),
    ]);
    return { status: response.statusCode, headers: Object.fromEntries(texts), text: response.payload };
  }

  #bearerOf(value: string): 'own' | 'given' | 'none' {
    if (value === this.#bearer) return 'own';
    return /^bearer +mk_[0-9a-z]{12}_/i.test(value.trim()) ? 'given' : 'none';
  }

  #checkAnswer(sent: Sent, verdict: Verdict, answer: Answer): void {
    const { status, headers, text } = answer;
    this.statuses.set(status, (this.statuses.get(status) ?? 0) + 1);
    if (status >= 500) throw new Error(`an answer of ${status}`);
    if (this.#errors.length > 0) throw new Error(`an error was logged: ${this.#errors.join()}`);
    this.#check({ method: sent.method, url: sent.target, statusCode: status, headers, body: text });
    if (verdict.valid === 'no' && status < 400) throw new Error('what must be refused was accepted');
  }

  async #checkEffects(sent: Sent, verdict: Verdict, answer: Answer): Promise<void> {
    if (sent.method === 'GET' || sent.method === 'HEAD') return;
    const isAccepted = answer.status < 300;
    const { isSure } = this.#model;
    if (isAccepted) await this.#expectTasks(verdict, answer);
    const isFirst = isAccepted && isSure && answer.headers['idempotent-replayed'] === undefined;
    const rows = isFirst && verdict.operation?.id === 'importUsers' ? sent.rows : undefined;
    const hasImported = rows !== undefined && (await this.#checkImport(rows, verdict, answer));
    this.#model.apply(verdict, answer, hasImported ? [] : await this.#newChanges());
    if (isFirst) await this.#checkKept(verdict, answer);
    const { id } = (isAccepted && answer.text.startsWith('{') ? readJson(answer.text) : {}) as {
      id?: unknown;
    };
    const userId = verdict.operation?.path === '/users' ? Number(id) : Number(verdict.path.id);
    if (verdict.operation?.path.startsWith('/users') && Number.isSafeInteger(userId))
      await this.#checkUser(userId);
  }

  /** What an import has done is what its rows say. Gives whether that could be said. */
  async #checkImport(rows: readonly object[], { query }: Verdict, answer: Answer): Promise<boolean> {
    const { id } = readJson(answer.text) as { id: number };
    const task = readJson((await this.#get(`/tasks/${id}`)).text) as ImportTask & { result?: object };
    if (task.state !== 'succeeded' && task.state !== 'failed') return false;
    const { onConflict = 'skip', dryRun = false } = query as { onConflict?: string; dryRun?: boolean };
    const judged = rows.map(
      (user): Row => ({ user: user as Row['user'], isValid: this.#judge.isUser(user) }),
    );
    const { state, result = null } = task;
    this.#model.applyImport(judged, { onConflict, dryRun }, { state, result }, await this.#newChanges());
    return true;
  }

  /** Of what is no user: each member that was sent is read back, what was deleted is not there, who was to be erased is not. */
  async #checkKept({ operation, path, body }: Verdict, answer: Answer): Promise<void> {
    const [, collection = ''] = operation?.path.split('/') ?? [];
    if (operation?.id === 'eraseUser') {
      const { id } = readJson(answer.text) as { id: number };
      const task = readJson((await this.#get(`/tasks/${id}`)).text) as { state: string };
      if (task.state === 'succeeded') this.#model.requireErased(Number(path.id));
    }
    if (!KEPT.includes(collection)) return;
    if (operation?.method === 'DELETE') {
      const read = await this.#get(`/${collection}/${path.id}`);
      const isGone =
        collection === 'keys'
          ? typeof (readJson(read.text) as { revokedAt?: unknown }).revokedAt === 'string'
          : read.status === 404;
      if (!isGone) throw new Error(`what was deleted reads as ${read.text}`);
    }
    const writes = operation?.path === `/${collection}` || operation?.method === 'PATCH';
    if (!writes || typeof body !== 'object' || body === null || operation?.method === 'GET') return;
    const { id = path.id } = readJson(answer.text) as { id?: unknown };
    const { text } = await this.#get(`/${collection}/${id}`);
    const read = readJson(text) as Record<string, unknown>;
    for (const [name, value] of Object.entries(body).filter(([one]) => one !== 'expiresAt')) // kept in UTC
      if (!isDeepStrictEqual(read[name] ?? null, value))
        throw new Error(`${name} is kept as ${JSON.stringify(read[name])}`);
  }

  /** What is read back is what the model says. */
  async #checkUser(id: number): Promise<void> {
    if (this.#model.mayErase.has(id) || this.#model.hasForeignTasks || id < 1) return;
    const user = this.#model.users.get(id);
    const read = await this.#get(`/users/${id}`);
    const isSame = user === undefined ? read.status === 404 : isDeepStrictEqual(readJson(read.text), user);
    if (!isSame) throw new Error(`user ${id} reads as ${read.text}\n  not ${JSON.stringify(user)}`);
    if (user !== undefined && read.headers.etag !== `"${user.version}"`)
      throw new Error(`the ETag is ${read.headers.etag}`);
  }

  /** An accepted task may change users in its own time; most have ended when this returns. */
  async #expectTasks({ operation, body, path }: Verdict, answer: Answer): Promise<void> {
    if (!/tasks|schedules|erase/.test(operation?.path ?? '') && answer.status !== 202) return;
    const kinds = textsOf([body, jsonOf(answer)], 'kind');
    for (const id of textsOf([body, { erase: path }, jsonOf(answer)], 'userId')) {
      this.#model.mayErase.add(Number(id));
    }
    if (kinds.some((kind) => kind !== 'erase' && !HARMLESS.includes(kind)))
      this.#model.hasForeignTasks = true;
    if (kinds.every((kind) => HARMLESS.includes(kind))) return;
    await this.#untilSettled(SETTLED_MS);
  }

  /** What tasks have changed meanwhile; once none is left that may change a user, the model knows all again. */
  async #followTasks(): Promise<void> {
    const { mayErase, hasForeignTasks } = this.#model;
    if (mayErase.size === 0 && !hasForeignTasks) return;
    const left = await this.#mayChange();
    this.#model.apply(NOTHING, NO_ANSWER, await this.#newChanges());
    this.#model.hasForeignTasks = left.some(({ kind }) => kind === 'import');
    this.#model.stillMayErase(
      new Set(left.flatMap(({ input }) => textsOf(readJson(input), 'userId').map(Number))),
    );
  }

  /** Tasks that may change a user within the hour. */
  #mayChange(): Promise<{ kind: string; input: string }[]> {
    const { dialect, read } = this.#app.reader;
    return read<{ kind: string; input: string }>(
      `select kind, cast(input as text) as input from tasks where finished_at is null
         and (${CHANGES} or ${BEGETS}) and (run_at is null or run_at < ${fromNow(dialect, 3_600_000)})
       union all select kind, cast(input as text) as input from schedules where ${CHANGES} or ${BEGETS}`,
      [...HARMLESS, ...HARMLESS],
    );
  }

  /** Waits until no task that may change a user runs, or is about to; at most so long. */
  async #untilSettled(limitMs: number): Promise<void> {
    const open = () =>
      this.#app.reader.read<{ n: number }>(
        `select count(*) as n from tasks
         where state in ('queued', 'running') and (${CHANGES} or (state = 'queued' and ${BEGETS}))`,
        HARMLESS,
      );
    const until = Date.now() + limitMs;
    for (;;) {
      const changed = this.#app.tasks.watch.next();
      if (Number((await open())[0]?.n) === 0 || Date.now() >= until) return;
      await changed;
    }
  }

  async #newChanges(): Promise<Change[]> {
    const changes: Change[] = [];
    for (let after = this.#model.head; ; ) {
      const page = await this.#get(`/changes?after=${after}&limit=1000`);
      changes.push(...(readJson(page.text) as Change[]));
      after = Number(page.headers['muster-position']);
      if (page.headers.link === undefined) return changes;
    }
  }

  async #get(url: string): Promise<Answer> {
    const answer = await this.#inject('GET', url, { authorization: this.#bearer });
    this.#check({
      method: 'GET',
      url,
      statusCode: answer.status,
      headers: answer.headers,
      body: answer.text,
    });
    return answer;
  }

  /** At the end everything is read once more. */
  async finish(): Promise<void> {
    await this.#untilSettled(ALL_SETTLED_MS);
    for (;;) {
      this.#model.apply(NOTHING, NO_ANSWER, await this.#newChanges());
      try {
        return await this.#checkAll();
      } catch (error) {
        if ((await this.#newChanges()).length === 0) throw error; // else a task has erased somebody meanwhile
      }
    }
  }

  /** The log, from its first change, and the table tell of the same users, and the model of no others. */
  async #checkAll(): Promise<void> {
    const log: Change[] = [];
    for (let after: number | undefined = 0; after !== undefined; ) {
      const page = await this.#get(`/changes?after=${after}&limit=1000`);
      log.push(...(readJson(page.text) as Change[]));
      after = page.headers.link === undefined ? undefined : Number(page.headers['muster-position']);
    }
    const table: User[] = [];
    for (let url: string | undefined = '/users?limit=1000'; url !== undefined; ) {
      const page: Answer = await this.#get(url);
      table.push(...(readJson(page.text) as User[]));
      url = /^<(.+)>/.exec(page.headers.link ?? '')?.[1];
    }
    if (!isDeepStrictEqual(fold(log), table)) throw new Error('the log does not rebuild the table');
    const known = [...this.#model.users.values()].sort((a, b) => a.id - b.id);
    if (!isDeepStrictEqual(known, table)) throw new Error('the table is not as the model');
    if (!isDeepStrictEqual(log, this.#model.log)) throw new Error('the log is not as it was followed');
    await walkAll(this.#model, table, (url) => this.#get(url));
    if (this.#errors.length > 0) throw new Error(`an error was logged: ${this.#errors.join()}`);
  }

  /** How many answers were held against the model. */
  get held(): Model['held'] {
    return this.#model.held;
  }

  /** For bytes that are no requests, none of which has a key: nothing may change by them. */
  rawTarget(): Target {
    return {
      port: this.#port,
      check: ({ status, headers, text }) =>
        this.#check({ method: 'GET', url: '/unlisted', statusCode: status, headers, body: text }),
      isUnmoved: async () => {
        if ((await this.#newChanges()).length > 0) throw new Error('a user was changed without a key');
        if (this.#errors.length > 0) throw new Error(`an error was logged: ${this.#errors.join()}`);
      },
    };
  }

  async close(): Promise<void> {
    this.#wire.close();
    await this.#app.close();
  }
}

function isReading({ operation }: Verdict, { method }: Sent, { status }: Answer): boolean {
  return status < 300 && operation?.method === 'GET' && method !== 'HEAD';
}

const NOTHING: Verdict = {
  operation: undefined,
  valid: 'no',
  reason: '',
  path: {},
  query: {},
  headers: {},
  client: '',
  body: undefined,
};
const NO_ANSWER: Answer = { status: 400, headers: {}, text: '' };

/** Lines of JSON are none. */
function jsonOf({ headers, text }: Answer): unknown {
  return /[/+]json\b/.test(headers['content-type'] ?? '') && text !== '' ? readJson(text) : undefined;
}
