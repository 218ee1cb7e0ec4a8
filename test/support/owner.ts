import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** To whom something belongs that has to be ended with them: a `Test`, or a `Life` where there is no test. */
export interface Owner {
  teardown(end: () => unknown): void;
}

export class Life implements Owner {
  readonly #ends: (() => unknown)[] = [];

  teardown(end: () => unknown): void {
    this.#ends.push(end);
  }

  /** Ends all that was begun, the last first. */
  async end(): Promise<void> {
    for (let end = this.#ends.pop(); end !== undefined; end = this.#ends.pop()) await end();
  }
}

export async function temporaryFolder(owner: Owner): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'muster-test-'));
  owner.teardown(() => rm(folder, { recursive: true, force: true }));
  return folder;
}
