import { isDeepStrictEqual } from 'node:util';
import type { User } from '../../../src/users/users.schemas.ts';
import { type Change, fold } from '../../support/log.ts';
import { type Answer, readAll, type Send } from './client.ts';

const ABSENT = 'absent';
/** A user whose attributes nobody reckons with. */
const PRESENT = 'present';

interface Asked {
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
  readonly #send: Send;
  readonly #users = new Map<string, Set<string>>();
  readonly #ids = new Map<string, number>();
  readonly tasks: Asked[] = [];
  readonly broken: string[] = [];
  /** Told of each acknowledgement, before anything else happens. */
  acknowledged: (ledger: Ledger) => void = () => {};
  counts = { done: 0, refused: 0, unknown: 0 };

  constructor(send: Send) {
    this.#send = send;
  }

  /** The same knowledge, for questions to another service. */
  against(send: Send): Ledger {
    const copy = new Ledger(send);
    for (const [email, states] of this.#users) copy.#users.set(email, new Set(states));
    for (const [email, id] of this.#ids) copy.#ids.set(email, id);
    copy.tasks.push(...this.tasks);
    return copy;
  }

  async create(email: string, attributes: object = {}): Promise<void> {
    const json = { name: nameOf(email), email, attributes };
    const answer = await this.#ask('POST', '/users', json);
    if (answer?.status === 201) this.#ids.set(email, (JSON.parse(answer.text) as User).id);
    this.#note(email, answer, JSON.stringify(attributes), ABSENT);
  }

  async patch(email: string, attributes: object): Promise<void> {
    const id = this.#ids.get(email);
    if (id === undefined) return;
    const now = [...(this.#users.get(email) ?? [])][0] ?? '{}';
    const answer = await this.#ask('PATCH', `/users/${id}`, { attributes });
    this.#note(email, answer, JSON.stringify({ ...JSON.parse(now), ...attributes }));
  }

  async remove(email: string): Promise<void> {
    const id = this.#ids.get(email);
    if (id === undefined) return;
    this.#note(email, await this.#ask('DELETE', `/users/${id}`), ABSENT);
  }

  async erase(email: string): Promise<void> {
    const id = this.#ids.get(email);
    if (id === undefined) return;
    const answer = await this.#ask('POST', `/users/${id}/erase`);
    this.#noteTask({ name: `erase ${email}`, makes: [], removes: email }, answer);
  }

  /** A task of the kind `steps` (see `steps.ts`). */
  async steps(name: string, more: object = {}): Promise<void> {
    const answer = await this.#ask('POST', '/tasks', { kind: 'steps', input: { name }, ...more });
    this.#noteTask({ name, makes: [0, 1, 2].map((step) => `${name}-${step}@example.com`) }, answer);
  }

  async import(name: string, rows: number, text = ''): Promise<void> {
    const emails = Array.from({ length: rows }, (_, row) => `${name}-${row}@example.com`);
    const lines = emails.map((email) => `${nameOf(email)},${email},${text}\n`).join('');
    const message = { body: `name,email,text\n${lines}`, headers: { 'content-type': 'text/csv' } };
    const answer = await this.#sent('POST', '/users/import', message);
    this.#noteTask({ name, makes: emails }, answer);
  }

  /** Whether it was carried out, and with that what may be. */
  #note(email: string, answer: Answer | undefined, after: string, before?: string): void {
    const verdict = this.#judge(answer);
    const states = this.#users.get(email) ?? new Set(before === undefined ? [] : [before]);
    if (verdict === 'done') states.clear();
    if (verdict !== 'refused') states.add(after);
    this.#users.set(email, states);
    if (verdict === 'done') this.acknowledged(this);
  }

  #noteTask(task: Pick<Asked, 'name' | 'makes'> & { removes?: string }, answer: Answer | undefined): void {
    const was = this.#judge(answer);
    const id = was === 'done' && answer !== undefined ? (JSON.parse(answer.text).id as number) : undefined;
    this.tasks.push({ removes: undefined, ...task, id, was });
    if (was === 'done') this.acknowledged(this);
  }

  async #ask(method: 'POST' | 'PATCH' | 'DELETE', url: string, json?: object): Promise<Answer | undefined> {
    return this.#sent(method, url, json === undefined ? {} : { json });
  }

  async #sent(...request: Parameters<Send>): Promise<Answer | undefined> {
    try {
      return await this.#send(...request);
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
    const log = await readAll<Change>(this.#send, '/changes?limit=1000');
    const users = await readAll<User>(this.#send, '/users?limit=1000');
    if (!isDeepStrictEqual(fold(log), users)) broken.push('the log does not rebuild the table');
    broken.push(...inOrder(log));
    const left = new Map(users.map((user) => [user.email, user]));
    const possible = await this.#possible(isOver, broken);
    for (const [email, states] of possible) {
      const user = left.get(email);
      left.delete(email);
      const state = user === undefined ? ABSENT : JSON.stringify(user.attributes);
      if (states.has(state) || (user !== undefined && states.has(PRESENT))) continue;
      broken.push(`${email} is ${state}, which is not ${[...states].join(' or ')}`);
    }
    for (const email of left.keys()) broken.push(`${email} is there, and nobody asked for that`);
    return broken;
  }

  async #possible(isOver: boolean, broken: string[]): Promise<Map<string, Set<string>>> {
    const possible = new Map([...this.#users].map(([email, states]) => [email, new Set(states)]));
    for (const { name, id, was, makes, removes } of this.tasks) {
      let ended = false;
      if (was === 'done') {
        const answer = await this.#send('GET', `/tasks/${id}`);
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
