import { isDeepStrictEqual } from 'node:util';
import type { User } from '../../../src/users/users.schemas.ts';
import { type Change, fold } from '../../support/log.ts';
import { type Answer, readAll, type Send } from './client.ts';

const ABSENT = 'absent';
/** A user whose attributes nobody reckons with. */
const PRESENT = 'present';

interface Task {
  name: string;
  id: number | undefined;
  /** Whether it was acknowledged, refused, or nobody knows. */
  was: Verdict;
  /** The users that it makes, or the one that it removes. */
  makes: readonly string[];
  removes: string | undefined;
}

type Verdict = 'done' | 'refused' | 'unknown';

/**
 * What a client knows of the directory: of each user everything that they may be by now. What was acknowledged leaves one
 * possibility, a refusal changes none, and an answer that says neither (none at all, or `commit-failed`) adds one.
 */
export class Ledger {
  readonly send: Send;
  readonly #users = new Map<string, Set<string>>();
  readonly #ids = new Map<string, number>();
  readonly tasks: Task[] = [];
  readonly broken: string[] = [];
  /** Told when it knows something new: something was asked for, or answered. */
  changed: (ledger: Ledger) => void = () => {};
  counts = { done: 0, refused: 0, unknown: 0 };

  constructor(send: Send) {
    this.send = send;
  }

  /** The same knowledge, for questions to another service. */
  against(send: Send): Ledger {
    const copy = new Ledger(send);
    for (const [email, states] of this.#users) copy.#users.set(email, new Set(states));
    for (const [email, id] of this.#ids) copy.#ids.set(email, id);
    copy.tasks.push(...this.tasks);
    return copy;
  }

  /** How many users and tasks it is certain of. */
  get sure(): number {
    const tasks = this.tasks.filter(({ was }) => was === 'done');
    return tasks.length + [...this.#users.values()].filter(({ size }) => size === 1).length;
  }

  async create(email: string, attributes: object = {}): Promise<void> {
    const json = { name: nameOf(email), email, attributes };
    const answer = await this.#change(email, ABSENT, JSON.stringify(attributes), () =>
      this.#ask('POST', '/users', { json }),
    );
    if (answer?.status === 201) this.#ids.set(email, (JSON.parse(answer.text) as User).id);
  }

  async patch(email: string, attributes: object): Promise<void> {
    const id = this.#ids.get(email);
    const [now] = this.#users.get(email) ?? [];
    if (id === undefined || now === undefined || now === ABSENT) return;
    const after = JSON.stringify({ ...JSON.parse(now), ...attributes });
    await this.#change(email, undefined, after, () =>
      this.#ask('PATCH', `/users/${id}`, { json: { attributes } }),
    );
  }

  async remove(email: string): Promise<void> {
    const id = this.#ids.get(email);
    if (id === undefined) return;
    await this.#change(email, undefined, ABSENT, () => this.#ask('DELETE', `/users/${id}`));
    this.#ids.delete(email);
  }

  async erase(email: string): Promise<void> {
    const id = this.#ids.get(email);
    if (id === undefined) return;
    this.#ids.delete(email);
    await this.#enqueue({ name: `erase ${email}`, makes: [], removes: email }, () =>
      this.#ask('POST', `/users/${id}/erase`),
    );
  }

  /** A task of the kind `steps` (see `steps.ts`). */
  async steps(name: string, { pauseMs, ...more }: { pauseMs?: number; runAt?: string } = {}): Promise<void> {
    const makes = [0, 1, 2].map((step) => `${name}-${step}@example.com`);
    await this.#enqueue({ name, makes, removes: undefined }, () =>
      this.#ask('POST', '/tasks', { json: { kind: 'steps', input: { name, pauseMs }, ...more } }),
    );
  }

  async import(name: string, rows: number, text = ''): Promise<void> {
    const makes = Array.from({ length: rows }, (_, row) => `${name}-${row}@example.com`);
    const lines = makes.map((email) => `${nameOf(email)},${email},${text}\n`).join('');
    const message = { body: `name,email,text\n${lines}`, headers: { 'content-type': 'text/csv' } };
    await this.#enqueue({ name, makes, removes: undefined }, () =>
      this.#ask('POST', '/users/import', message),
    );
  }

  /** One change of one user: while it is on its way, both what was and what will be are possible. */
  async #change(
    email: string,
    before: string | undefined,
    after: string,
    ask: () => Promise<Answer | undefined>,
  ): Promise<Answer | undefined> {
    const was = this.#users.get(email) ?? new Set(before === undefined ? [] : [before]);
    this.#users.set(email, new Set([...was, after]));
    this.changed(this);
    const answer = await ask();
    const verdict = this.#judge(answer);
    if (verdict === 'done') this.#users.set(email, new Set([after]));
    if (verdict === 'refused') this.#users.set(email, was);
    this.changed(this);
    return answer;
  }

  async #enqueue(
    task: Pick<Task, 'name' | 'makes' | 'removes'>,
    ask: () => Promise<Answer | undefined>,
  ): Promise<void> {
    const at = this.tasks.push({ ...task, id: undefined, was: 'unknown' }) - 1;
    this.changed(this);
    const answer = await ask();
    const was = this.#judge(answer);
    const id = was === 'done' && answer !== undefined ? (JSON.parse(answer.text).id as number) : undefined;
    this.tasks[at] = { ...task, id, was };
    this.changed(this);
  }

  async #ask(...request: Parameters<Send>): Promise<Answer | undefined> {
    try {
      return await this.send(...request);
    } catch (error) {
      this.broken.push(String(error));
      return undefined;
    }
  }

  #judge(answer: Answer | undefined): Verdict {
    const verdict = verdictOf(answer);
    this.counts[verdict]++;
    if (answer !== undefined && answer.status >= 400 && answer.status !== 503)
      this.broken.push(`answered ${answer.status}: ${answer.text}`);
    return verdict;
  }

  /** Reads everything, and says what cannot be. `isOver`: what was asked for must have ended well. */
  async verify({ isOver }: { isOver: boolean }): Promise<string[]> {
    const broken: string[] = [];
    const possible = await this.#possible(isOver, broken); // first: what has ended now is all there afterwards
    const { log, users, isSame } = await this.#read(isOver ? 1 : 10);
    if (!isSame) broken.push('the log does not rebuild the table');
    broken.push(...inOrder(log));
    const left = new Map(users.map((user) => [user.email, user]));
    for (const [email, states] of possible) {
      const user = left.get(email);
      left.delete(email);
      const state = user === undefined ? ABSENT : JSON.stringify(user.attributes);
      if (states.has(state) || (user !== undefined && states.has(PRESENT))) continue;
      broken.push(`${email} is ${state}, which is not ${[...states].join(' or ')}`);
    }
    for (const email of left.keys()) broken.push(`${email} is there, and nobody asked for that`);
    return broken.length > 3 ? [...broken.slice(0, 3), `and ${broken.length - 3} more`] : broken;
  }

  /** Tasks may write between the one reading and the other: then both are read again. */
  async #read(tries: number): Promise<{ log: Change[]; users: User[]; isSame: boolean }> {
    const log = await readAll<Change>(this.send, '/changes?limit=1000');
    const users = await readAll<User>(this.send, '/users?limit=1000');
    const isSame = isDeepStrictEqual(fold(log), users);
    return isSame || tries <= 1 ? { log, users, isSame } : this.#read(tries - 1);
  }

  /** Waits until all tasks have ended; gives those that have not in that time. */
  async untilOver(limitMs: number): Promise<string[]> {
    const until = performance.now() + limitMs;
    const late: string[] = [];
    for (const { id, was, name } of this.tasks) {
      if (was !== 'done') continue;
      for (;;) {
        const isLate = performance.now() >= until;
        const headers = isLate ? undefined : { prefer: 'wait=5' };
        const answer = await this.send('GET', `/tasks/${id}`, headers && { headers });
        const state = answer?.status === 200 ? JSON.parse(answer.text).state : 'unknown';
        if (/succeeded|failed|cancelled/.test(state)) break;
        if (!isLate) continue;
        late.push(`the task ${name} is still ${state}`);
        break;
      }
    }
    return late;
  }

  async #possible(isOver: boolean, broken: string[]): Promise<Map<string, Set<string>>> {
    const possible = new Map([...this.#users].map(([email, states]) => [email, new Set(states)]));
    for (const { name, id, was, makes, removes } of this.tasks) {
      let ended = false;
      if (was === 'done') {
        const answer = await this.send('GET', `/tasks/${id}`);
        const { state, error } = JSON.parse(answer?.text ?? '{}');
        if (answer?.status !== 200) broken.push(`the task ${name} is gone: ${answer?.text}`);
        else if (state === 'failed' || state === 'cancelled' || (isOver && state !== 'succeeded'))
          broken.push(`the task ${name} is ${state}: ${JSON.stringify(error)}`);
        ended = state === 'succeeded';
      }
      if (was === 'refused') continue;
      if (removes !== undefined)
        possible.set(removes, ended ? new Set([ABSENT]) : new Set([ABSENT, PRESENT]));
      for (const email of makes) possible.set(email, new Set(ended ? [PRESENT] : [ABSENT, PRESENT]));
    }
    return possible;
  }
}

/** Positions rise, and the versions of each user count from one. */
function inOrder(log: readonly Change[]): string[] {
  const versions = new Map<number, number>();
  const broken: string[] = [];
  for (const [at, { userId, version, position }] of log.entries()) {
    if (position <= (log[at - 1]?.position ?? 0)) broken.push(`position ${position} is out of order`);
    if (version !== (versions.get(userId) ?? 0) + 1)
      broken.push(`user ${userId} has version ${version} after ${versions.get(userId)}`);
    versions.set(userId, version);
  }
  return broken;
}

export function verdictOf(answer: Answer | undefined): Verdict {
  if (answer === undefined) return 'unknown';
  if (answer.status < 300) return 'done';
  return answer.text.includes(':commit-failed"') ? 'unknown' : 'refused';
}

function nameOf(email: string): string {
  return email.replace(/@.*/, '');
}
