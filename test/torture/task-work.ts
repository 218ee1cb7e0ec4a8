import type { Hand } from './hand.ts';
import type { Errand, Task } from './history.ts';

/** What a worker does to tasks. */
export class TaskWork {
  readonly #hand: Hand;
  readonly #tasks: number[] = [];

  constructor(hand: Hand) {
    this.#hand = hand;
  }

  async sleep(): Promise<void> {
    await this.#enqueue({ kind: 'sleep', input: { ms: this.#hand.random.between(0, 100) } }, ['succeeded']);
  }

  async gather(): Promise<void> {
    const children = this.#hand.random.between(1, 5);
    const tasks = Array.from({ length: children }, () => ({
      kind: 'sleep',
      input: { ms: this.#hand.random.between(0, 50) },
    }));
    await this.#enqueue({ kind: 'gather', input: { tasks } }, ['succeeded'], children);
  }

  /** Asked for twice under one key, it is one; then it is cancelled. */
  async cancel(): Promise<void> {
    const isHeld = this.#hand.random.next() < 0.5;
    const later = { runAt: new Date(Date.now() + 3_600_000).toISOString() };
    const json = { kind: 'sleep', input: { ms: isHeld ? 0 : 1500 }, ...(isHeld && later) };
    const errand = await this.#enqueue(json, isHeld ? ['cancelled'] : ['cancelled', 'succeeded']);
    const [id] = errand.ids;
    if (id === undefined) return; // one that is held and has no known id is cancelled at the end
    if (isHeld) {
      const again = await this.#hand.send('POST', '/tasks', { json: { ...json, dedupeKey: errand.mark } });
      if (again.fate === 'acknowledged') errand.ids.add((again.body as Task).id);
    }
    await this.#hand.send('POST', `/tasks/${id}/cancel`);
  }

  async lookAtTask(): Promise<void> {
    const id = this.#tasks[this.#hand.random.between(0, this.#tasks.length - 1)];
    if (id === undefined) return;
    const { fate, status, body } = await this.#hand.send('GET', `/tasks/${id}`, {
      headers: { prefer: 'wait=1' },
    });
    if (status === 404) this.#hand.history.misread.push(`task ${id} was acknowledged and is not there`);
    if (fate === 'acknowledged') this.#hand.history.sawTask(body as Task);
  }

  async #enqueue(json: object, ends: string[], children?: number): Promise<Errand> {
    const mark = this.#hand.mark();
    const { fate, body } = await this.#hand.send('POST', '/tasks', { json: { ...json, dedupeKey: mark } });
    const ids = new Set(fate === 'acknowledged' ? [(body as Task).id] : []);
    const errand: Errand = { mark, fate, ids, ends, ...(children !== undefined && { children }) };
    this.#hand.history.errands.push(errand);
    this.#tasks.push(...ids);
    return errand;
  }
}
