import { setTimeout as wait } from 'node:timers/promises';
import { Hand, type HandOptions } from './hand.ts';
import { TaskWork } from './task-work.ts';
import { UserWork } from './user-work.ts';

/** How often each operation comes. */
const USER_OPERATIONS = {
  create: 18,
  createOnce: 12,
  addUser: 5,
  contest: 10,
  patch: 22,
  stalePatch: 3,
  delete: 6,
  erase: 1,
  look: 10,
  importRows: 3,
} satisfies Partial<Record<keyof UserWork, number>>;
const TASK_OPERATIONS = {
  sleep: 5,
  gather: 2,
  cancel: 3,
  lookAtTask: 4,
} satisfies Partial<Record<keyof TaskWork, number>>;
/** Of a hundred operations so many are on users. */
const ON_USERS = 86;
/** Between two operations, at most. */
const PAUSE_MS = 8;

/**
 * Does one thing after the other, at whatever service answers, and writes down what it was told. Which things is told by
 * the seed; how far it comes, and what is answered, is up to the faults.
 */
export class Worker {
  readonly #hand: Hand;
  #isOver = false;

  constructor(number: number, seed: number, options: HandOptions) {
    this.#hand = new Hand(number, seed, options);
  }

  async run(): Promise<void> {
    const users = new UserWork(this.#hand);
    const tasks = new TaskWork(this.#hand);
    const { random } = this.#hand;
    while (!this.#isOver) {
      if (random.next() * 100 < ON_USERS) await users[random.weighted(USER_OPERATIONS)]();
      else await tasks[random.weighted(TASK_OPERATIONS)]();
      await wait(random.between(0, PAUSE_MS));
    }
  }

  stop(): void {
    this.#isOver = true;
  }
}
