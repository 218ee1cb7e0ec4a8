import { CHANGE_COLUMNS, type ChangeRow } from '../changes/log.ts';
import { recordChange } from '../changes/record.ts';
import type { Person } from '../db/personal.ts';
import type { Tx } from '../db/tx.ts';
import { NotFound } from '../errors.ts';
import { defineTask, type TaskKind } from '../tasks/kinds.ts';
import type { User } from './users.schemas.ts';
import { deleteUser } from './users.ts';

/**
 * A place beside the users and their log where personal values may stand. `erase` removes a person from one window of
 * it, after a key, and gives where to go on; undefined at the end.
 */
export interface Erasable {
  name: string;
  // biome-ignore lint/suspicious/noExplicitAny: each place has keys of its own, which only it looks at
  erase(tx: Tx, person: Person, after?: any): Promise<unknown>;
}

/**
 * Deletes a user and every personal value of theirs. The log is emptied of them last, because it says what to look for:
 * until then a crash can be followed by another attempt. At the end it says so itself, `user.erased`.
 */
export function eraseOf(
  erasables: readonly Erasable[],
  scrub: () => Promise<void>,
): TaskKind<{ userId: number }> {
  return defineTask({
    kind: 'erase',
    scope: 'users:write',
    description: 'Deletes a user, and every personal value of theirs wherever it stands.',
    input: {
      type: 'object',
      required: ['userId'],
      properties: { userId: { type: 'integer', minimum: 1, description: 'whom to erase', examples: [7] } },
      additionalProperties: false,
      examples: [{ userId: 7 }],
    },
    async run({ input: { userId }, write, signal }) {
      await write((tx) => deleteUser(tx, userId)).catch((error) => {
        if (!(error instanceof NotFound)) throw error;
      });
      const person = await write((tx) => findPerson(tx, userId));
      for (const { erase } of erasables) {
        for (let after: unknown; ; ) {
          signal.throwIfAborted();
          after = await write((tx) => erase(tx, person, after));
          if (after === undefined) break;
        }
      }
      await write((tx) => eraseFromLog(tx, userId));
      await scrub();
    },
  });
}

/** All that the log knows of a person. What they are called now by somebody else is not theirs any more. */
async function findPerson(tx: Tx, userId: number): Promise<Person> {
  const changes = await readChangesOf(tx, userId);
  const users = changes.flatMap(({ state }) => (state === null ? [] : [JSON.parse(state) as User]));
  const emails = [...new Set(users.map(({ email }) => email))];
  return {
    userId,
    emails,
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
async function eraseFromLog(tx: Tx, userId: number): Promise<void> {
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
    actor: null,
    at: new Date(),
  });
}
