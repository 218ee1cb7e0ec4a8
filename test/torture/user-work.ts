import type { User } from '../../src/users/users.schemas.ts';
import type { Reply } from './client.ts';
import type { Hand } from './hand.ts';
import type { Act, Task } from './history.ts';

/** A user that this worker made, and nobody else changes. */
interface Own {
  id: number;
  version: number;
}

/** Emails that all workers want, in several spellings. */
const CONTESTED = ['One@Example.com', 'one@example.com', 'TWO@example.com', 'two@EXAMPLE.com'];

/** What a worker does to users. What it no longer knows for sure it leaves alone. */
export class UserWork {
  readonly #hand: Hand;
  readonly #own: Own[] = [];

  constructor(hand: Hand) {
    this.#hand = hand;
  }

  async create(): Promise<void> {
    const mark = this.#hand.mark();
    const json = { name: this.#hand.name, email: `${mark}@example.com`, attributes: { mark } };
    const reply = await this.#hand.send('POST', '/users', { json });
    this.#wroteUser({ does: 'create', mark }, reply);
  }

  /** Repeated until it is answered, and once more: it must be there once. */
  async createOnce(): Promise<void> {
    const mark = this.#hand.mark();
    const json = { name: this.#hand.name, email: `${mark}@example.com`, attributes: { mark } };
    const headers = { 'idempotency-key': mark };
    const reply = await this.#hand.untilAnswered('/users', { json, headers });
    this.#wroteUser({ does: 'create', mark, once: true }, reply);
    if (reply.status !== 201 || this.#hand.random.next() < 0.5) return;
    const again = await this.#hand.send('POST', '/users', { json, headers });
    const isOpen = again.fate === 'unknown' || [0, 429, 503].includes(again.status);
    if (!isOpen && JSON.stringify(again.body) !== JSON.stringify(reply.body))
      this.#hand.history.misread.push(`the key ${mark} was answered ${again.status} the second time`);
  }

  async addUser(): Promise<void> {
    const mark = `${this.#hand.mark()}@example.com`;
    const reply = await this.#hand.send('POST', '/add-user', {
      json: { name: this.#hand.name, email: mark },
    });
    const { user } = (reply.body ?? {}) as { user?: { id: number } };
    const isMade = reply.fate === 'acknowledged' && user !== undefined;
    this.#hand.history.acts.push({
      does: 'create',
      mark,
      fate: reply.fate,
      changes: 1,
      ...(isMade && { userId: user.id }),
    });
    if (isMade) this.#own.push({ id: user.id, version: 1 });
  }

  /** An email belongs to one person, however many want it at once; who got it gives it back. */
  async contest(): Promise<void> {
    const mark = this.#hand.mark();
    const email = this.#hand.random.pick(CONTESTED);
    const reply = await this.#hand.send('POST', '/users', {
      json: { name: this.#hand.name, email, attributes: { mark } },
    });
    this.#wroteUser({ does: 'create', mark }, reply);
    if (reply.fate === 'acknowledged') await this.#delete(this.#own.length - 1);
  }

  async patch(): Promise<void> {
    const at = this.#anyOwn();
    const own = this.#own[at];
    if (own === undefined) return;
    const mark = this.#hand.mark();
    const reply = await this.#hand.send('PATCH', `/users/${own.id}`, {
      json: { name: `${this.#hand.name} ${mark}`, attributes: { mark } },
      headers: { 'if-match': `"${own.version}"` },
    });
    const act: Act = { does: 'patch', mark, fate: reply.fate, changes: 1, userId: own.id };
    this.#hand.history.acts.push(act);
    if (reply.fate === 'acknowledged') {
      act.answer = reply.body as User;
      own.version = act.answer.version;
    } else this.#notDone('patch', at, reply);
  }

  /** For a version that is over: it must be refused. */
  async stalePatch(): Promise<void> {
    const own = this.#own[this.#anyOwn()];
    if (own === undefined) return;
    const mark = this.#hand.mark();
    const { fate, status } = await this.#hand.send('PATCH', `/users/${own.id}`, {
      json: { attributes: { mark } },
      headers: { 'if-match': `"${own.version + 1000}"` },
    });
    this.#hand.history.acts.push({ does: 'patch', mark, fate, changes: 1, userId: own.id });
    if (fate === 'acknowledged') this.#hand.history.misread.push(`a stale patch was answered ${status}`);
  }

  async erase(): Promise<void> {
    const at = this.#anyOwn();
    const own = this.#own[at];
    if (own === undefined) return;
    this.#own.splice(at, 1);
    const { fate, body } = await this.#hand.send('POST', `/users/${own.id}/erase`);
    this.#hand.history.acts.push({
      does: 'erase',
      mark: `erase ${own.id}`,
      fate,
      changes: 1,
      userId: own.id,
      ...(fate === 'acknowledged' && { taskId: (body as Task).id }),
    });
  }

  async look(): Promise<void> {
    const at = this.#anyOwn();
    const own = this.#own[at];
    if (own === undefined) return;
    const reply = await this.#hand.send('GET', `/users/${own.id}`);
    if (reply.status === 404) this.#notDone('look', at, reply);
    if (reply.fate !== 'acknowledged') return;
    const { version } = reply.body as User;
    if (version !== own.version)
      this.#hand.history.misread.push(`user ${own.id} was read in version ${version}, not ${own.version}`);
  }

  async importRows(): Promise<void> {
    const mark = this.#hand.mark();
    const count = this.#hand.random.between(2, 40);
    const rows = Array.from({ length: count }, (_, row) =>
      JSON.stringify({ name: this.#hand.name, email: `${mark}.${row}@example.com`, attributes: { mark } }),
    );
    const { fate, body } = await this.#hand.send('POST', '/users/import', {
      text: `${rows.join('\n')}\n`,
      headers: { 'content-type': 'application/x-ndjson' },
    });
    this.#hand.history.acts.push({
      does: 'import',
      mark,
      fate,
      changes: count,
      ...(fate === 'acknowledged' && { taskId: (body as Task).id }),
    });
  }

  async delete(): Promise<void> {
    await this.#delete(this.#anyOwn());
  }

  async #delete(at: number): Promise<void> {
    const own = this.#own[at];
    if (own === undefined) return;
    const reply = await this.#hand.send('DELETE', `/users/${own.id}`, {
      headers: { 'if-match': `"${own.version}"` },
    });
    const { fate } = reply;
    this.#hand.history.acts.push({
      does: 'delete',
      mark: `delete ${own.id}`,
      fate,
      changes: 1,
      userId: own.id,
    });
    if (fate === 'acknowledged') this.#own.splice(at, 1);
    else this.#notDone('delete', at, reply);
  }

  #wroteUser(act: Pick<Act, 'does' | 'mark' | 'once'>, { fate, body }: Reply): void {
    const answer = fate === 'acknowledged' ? (body as User) : undefined;
    this.#hand.history.acts.push({
      ...act,
      fate,
      changes: 1,
      ...(answer !== undefined && { answer, userId: answer.id }),
    });
    if (answer !== undefined) this.#own.push({ id: answer.id, version: answer.version });
  }

  /** Nobody else changes the user: that they are gone, or have another version, would be a lost write. */
  #notDone(what: string, at: number, { fate, status, body }: Reply): void {
    const [own] = fate === 'unknown' || status === 404 || status === 412 ? this.#own.splice(at, 1) : [];
    if (status === 404 || status === 412)
      this.#hand.history.misread.push(
        `${what} of user ${own?.id} in version ${own?.version}: ${status}, ${JSON.stringify(body)}`,
      );
  }

  #anyOwn(): number {
    return this.#hand.random.between(0, this.#own.length - 1);
  }
}
