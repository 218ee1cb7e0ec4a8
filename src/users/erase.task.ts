import { setTimeout as wait } from 'node:timers/promises';
import { CHANGE_COLUMNS, type ChangeRow } from '../changes/log.ts';
import { recordChange } from '../changes/record.ts';
import { MAX_ID } from '../db/dialect.ts';
import { readJson } from '../db/json.ts';
import type { Person } from '../db/personal.ts';
import type { Reader } from '../db/reader.ts';
import type { Tx } from '../db/tx.ts';
import { NotFound, PreconditionFailed } from '../errors.ts';
import { etagOf } from '../http/conditional.ts';
import { defineTask, type TaskContext, type TaskKind } from '../tasks/kinds.ts';
import type { User } from './users.schemas.ts';
import { deleteUser } from './users.ts';

type Write = TaskContext['write'];

/** A place beside the users and their log where personal values may stand. */
export interface Erasable {
  name: string;
  /** Users are made of what stands there: it is gone through before the user is deleted as well, so that none is of them. */
  first?: boolean;
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

/** What to look for. */
interface Checkpoint extends Person {
  /** Then there is no more to come. */
  isDeleted?: boolean;
}

/**
 * Deletes a user and every personal value of theirs. What to look for is read before anything is deleted, and kept as
 * the checkpoint until all is done, so that another attempt can go on after a crash. At the end the log says so itself,
 * `user.erased`.
 *
 * An import that has read a row of theirs finds their email taken as long as they are there. So they are deleted when no
 * file names them any more, and only as they were when that was looked for: who is patched meanwhile is looked at again.
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
      const { actor, write, save, signal } = context;
      const { userId } = context.input;
      if (userId > MAX_ID) return;
      let kept = context.checkpoint as Checkpoint | null | undefined;
      let gone: readonly string[] = []; // of their emails, from all files
      for (; !kept?.isDeleted; kept = context.checkpoint as typeof kept) {
        const found = await findPerson(context.tasks.reader, userId, kept ?? undefined);
        if (found === undefined) return; // whoever gets that number meanwhile has not been asked for
        const { person, version } = found;
        if (person.emails.every((email) => gone.includes(email))) {
          await save(async (tx) => ({
            ...person,
            isDeleted: await deleteAsFound(tx, userId, version, actor),
          }));
        } else {
          await save(async () => person);
          for (const { erase, first } of erasables) if (first) await erase(write, person, signal);
          gone = person.emails;
        }
      }
      for (const { erase } of erasables) await erase(write, kept, signal);
      await save(async (tx) => {
        await eraseFromLog(tx, userId, actor);
        return { userId, names: [], emails: [], values: [], isDeleted: true } satisfies Checkpoint;
      });
      await scrub(signal);
    },
  });
}

/**
 * All that is committed of a person: what their row and the log know, beside what is `kept` of an earlier look, and the
 * version of their row, undefined when there is none. Undefined when nothing knows of any.
 */
async function findPerson(
  reader: Reader,
  userId: number,
  kept: Person | undefined,
): Promise<{ person: Person; version: number | undefined } | undefined> {
  const [row] = await reader.read<Pick<User, 'name' | 'email' | 'version'> & { attributes: string }>(
    'select name, email, version, cast(attributes as text) as attributes from users where id = ?',
    [userId],
  );
  // After the row: then all up to its version is here, unless it is not kept any more.
  const changes = await reader.read<ChangeRow>(
    `select ${CHANGE_COLUMNS} from changes where user_id = ? order by version`,
    [userId],
  );
  const isComing = row === undefined && changes.at(-1)?.state != null; // between the two
  if (kept === undefined && ((row === undefined && changes.length === 0) || isComing)) return undefined;
  const users = [
    ...changes.flatMap(({ state }) => (state === null ? [] : [readJson(state)])),
    ...(row === undefined ? [] : [{ ...row, attributes: readJson(row.attributes) }]),
  ] as Pick<User, 'name' | 'email' | 'attributes'>[];
  const all = (textsOf: (user: (typeof users)[number]) => string[], before: readonly string[] = []) => [
    ...new Set([...before, ...users.flatMap(textsOf)]),
  ];
  const person = {
    userId,
    emails: all(({ email }) => [email], kept?.emails),
    names: all(({ name }) => [name], kept?.names),
    values: all(({ attributes }) => textsIn(attributes), kept?.values),
  };
  return { person, version: row?.version };
}

/** Whether they are gone, and were as they had been found: else they have to be looked at again. */
async function deleteAsFound(
  tx: Tx,
  userId: number,
  version: number | undefined,
  actor: string | null,
): Promise<boolean> {
  if (version === undefined) return true;
  try {
    await deleteUser(tx, userId, { ifMatch: [etagOf({ version })] }, actor);
    return true;
  } catch (error) {
    if (error instanceof PreconditionFailed || error instanceof NotFound) return false;
    throw error;
  }
}

function textsIn(value: unknown): string[] {
  if (typeof value === 'string') return [value];
  return typeof value === 'object' && value !== null ? Object.values(value).flatMap(textsIn) : [];
}

/** The changes stay where they are, so that the order stands; what they say of the person does not. */
async function eraseFromLog(tx: Tx, userId: number, actor: string | null): Promise<void> {
  // First: on PostgreSQL it waits for another erasure of the same person, and then sees what that has appended.
  await tx.execute(
    `update changes set state = null, changed_fields = '[]', actor = null
     where user_id = ? and type <> 'user.erased'`,
    [userId],
  );
  const [last] = await tx.execute<Pick<ChangeRow, 'type' | 'version'>>(
    'select type, version from changes where user_id = ? order by version desc limit 1',
    [userId],
  );
  if (last === undefined || last.type === 'user.erased') return;
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
