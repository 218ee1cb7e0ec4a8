import { setTimeout as wait } from 'node:timers/promises';
import { CHANGE_COLUMNS, type ChangeRow } from '../changes/log.ts';
import { recordChange } from '../changes/record.ts';
import { MAX_ID } from '../db/dialect.ts';
import type { Person } from '../db/personal.ts';
import type { Tx } from '../db/tx.ts';
import { defineTask, type TaskContext, type TaskKind } from '../tasks/kinds.ts';
import type { User } from './users.schemas.ts';
import { deleteUser } from './users.ts';

type Write = TaskContext['write'];

/** A place beside the users and their log where personal values may stand. */
export interface Erasable {
  name: string;
  erase(write: Write, person: Person, signal: AbortSignal): Promise<void>;
}

/**
 * A place that is gone through window by window, each in a transaction of its own. `erase` removes a person from the one
 * after a key, and gives where to go on: undefined at the end, and the same key when it has to be looked at again.
 */
export function inWindows<Key>(
  name: string,
  erase: (tx: Tx, person: Person, after: Key | undefined) => Promise<Key | undefined>,
): Erasable {
  return {
    name,
    async erase(write, person, signal) {
      for (let after: Key | undefined; ; ) {
        signal.throwIfAborted();
        const next = await write((tx) => erase(tx, person, after));
        if (next === undefined) return;
        if (next === after) await wait(AGAIN_MS, undefined, { signal });
        after = next;
      }
    },
  };
}

/** Before a window is looked at again, because something has to end first. */
const AGAIN_MS = 200;

export const ERASE = 'erase';

/**
 * Deletes a user and every personal value of theirs. What to look for is read before anything is deleted, and kept as
 * the checkpoint until all is done, so that another attempt can go on after a crash. At the end the log says so itself,
 * `user.erased`.
 */
export function eraseOf(
  erasables: readonly Erasable[],
  scrub: (signal: AbortSignal) => Promise<void>,
): TaskKind<{ userId: number }> {
  return defineTask({
    kind: ERASE,
    scope: 'users:write',
    description: 'Deletes a user, and every personal value of theirs wherever it stands.',
    input: {
      type: 'object',
      required: ['userId'],
      properties: { userId: { type: 'integer', minimum: 1, description: 'whom to erase', examples: [7] } },
      additionalProperties: false,
      examples: [{ userId: 7 }],
    },
    concurrency: 1,
    async run(context) {
      const { input, actor, write, save, signal } = context;
      if (input.userId > MAX_ID) return;
      if (context.checkpoint == null) {
        await save(async (tx) => {
          const person = await findPerson(tx, input.userId);
          if (person?.isThere) await deleteUser(tx, input.userId, {}, actor);
          return person;
        });
      }
      const person = context.checkpoint as Person | null;
      if (person === null) return; // whoever gets that number meanwhile has not been asked for
      for (const { erase } of erasables) await erase(write, person, signal);
      await save(async (tx) => {
        await eraseFromLog(tx, input.userId, actor);
        return { userId: input.userId, names: [], emails: [], values: [] } satisfies Person;
      });
      await scrub(signal);
    },
  });
}

/** All that their row and the log know of a person; null: neither knows of any. */
async function findPerson(tx: Tx, userId: number): Promise<(Person & { isThere: boolean }) | null> {
  const changes = await readChangesOf(tx, userId);
  const rows = await tx.execute<Pick<User, 'name' | 'email'> & { attributes: string }>(
    'select name, email, cast(attributes as text) as attributes from users where id = ?',
    [userId],
  );
  if (changes.length === 0 && rows.length === 0) return null;
  const users: Pick<User, 'name' | 'email' | 'attributes'>[] = [
    ...changes.flatMap(({ state }) => (state === null ? [] : [JSON.parse(state)])),
    ...rows.map((row) => ({ ...row, attributes: JSON.parse(row.attributes) })),
  ];
  return {
    userId,
    isThere: rows.length > 0,
    emails: [...new Set(users.map(({ email }) => email))],
    names: [...new Set(users.map(({ name }) => name))],
    values: [...new Set(users.flatMap(({ attributes }) => textsIn(attributes)))],
  };
}

function readChangesOf(tx: Tx, userId: number): Promise<ChangeRow[]> {
  return tx.execute<ChangeRow>(`select ${CHANGE_COLUMNS} from changes where user_id = ? order by version`, [
    userId,
  ]);
}

function textsIn(value: unknown): string[] {
  if (typeof value === 'string') return [value];
  return typeof value === 'object' && value !== null ? Object.values(value).flatMap(textsIn) : [];
}

/** The changes stay where they are, so that the order stands; what they say of the person does not. */
async function eraseFromLog(tx: Tx, userId: number, actor: string | null): Promise<void> {
  const last = (await readChangesOf(tx, userId)).at(-1);
  if (last === undefined || last.type === 'user.erased') return;
  await tx.execute(`update changes set state = null, changed_fields = '[]', actor = null where user_id = ?`, [
    userId,
  ]);
  recordChange(tx, {
    type: 'user.erased',
    userId,
    version: last.version + 1,
    user: null,
    changedFields: [],
    actor,
    at: new Date(),
  });
}
