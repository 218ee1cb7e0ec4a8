import type { ChangeType } from '../changes/change.entity.ts';
import { recordChange } from '../changes/record.ts';
import { isAmong, MAX_ID } from '../db/dialect.ts';
import type { Reader } from '../db/reader.ts';
import type { Tx } from '../db/tx.ts';
import { Conflict, Invalid, NotFound, type Refusal } from '../errors.ts';
import { etagOf, type Preconditions, requirePreconditions } from '../http/conditional.ts';
import { mergePatch } from '../http/merge-patch.ts';
import { jsonBytes } from '../http/validation.ts';
import { emailKey, nameKey, searchKey } from './keys.ts';
import { mergeSearch } from './search.ts';
import { type Attributes, User } from './user.entity.ts';
import { USER_COLUMNS, type UserRow } from './user-json.ts';
import {
  MAX_ATTRIBUTES_BYTES,
  type NewUser,
  type UserPatch,
  type User as UserView,
} from './users.schemas.ts';

/** Who asks for a write; null when nobody had to say so. */
type Actor = string | null;

/** What can change about a user. */
const FIELDS = ['name', 'email', 'attributes'] as const;

/** The users with these ids, in their order; undefined where there is none. One plain query: no entity is built. */
export async function findUsers(reader: Reader, ids: readonly number[]): Promise<(UserRow | undefined)[]> {
  const possible = ids.filter((id) => id <= MAX_ID);
  const rows = await reader.read<UserRow>(
    `select ${USER_COLUMNS} from users where ${isAmong(reader.dialect, 'id')}`,
    [possible],
  );
  const byId = new Map(rows.map((row) => [row.id, row]));
  return ids.map((id) => byId.get(id));
}

/**
 * Creates a user from a body that fits `NewUser`.
 * @throws {Conflict} `email-taken`
 */
export async function createUser(tx: Tx, input: NewUser, actor: Actor = null): Promise<UserView> {
  const now = new Date();
  const user = {
    name: input.name,
    email: input.email,
    attributes: input.attributes ?? {},
    version: 1,
    createdAt: now,
    updatedAt: now,
  };
  const keys = keysOf(input);
  const id = await tx.insert(User, 'emailKey', { ...user, ...keys });
  if (id === undefined) throw emailTaken();
  const view = viewOf({ id, ...user });
  record(tx, 'user.created', view, view, FIELDS, actor, now);
  mergeSearch(tx, keys.searchKey);
  return view;
}

/**
 * Applies a merge patch that fits `UserPatch`. A patch that changes nothing leaves the version as it is.
 * @throws {NotFound} | {PreconditionFailed} | {Conflict} `email-taken` | {Invalid} when the attributes grow too large
 */
export async function updateUser(
  tx: Tx,
  id: number,
  patch: UserPatch,
  preconditions: Preconditions = {},
  actor: Actor = null,
): Promise<UserView> {
  const owner =
    patch.email === undefined ? undefined : await tx.findId(User, 'emailKey', emailKey(patch.email));
  const user = presentUser(tx, await lockUser(tx, id), id);
  requirePreconditions(preconditions, etagOf(user));
  if (owner !== undefined && owner !== id) throw emailTaken();
  const present = { name: user.name, email: user.email, attributes: user.attributes };
  const merged = mergePatch(present, patch) as Partial<typeof present>;
  const next = { ...present, ...merged, attributes: merged.attributes ?? {} };
  const changed = changedFields(user, next);
  if (changed.length === 0) return viewOf(user);
  const view = applyChange(tx, user, next, changed, actor);
  await writeUsers(tx, [user]);
  return view;
}

/**
 * Makes of users what the rows of a file say: name, email (their own, perhaps spelled in another way), and the
 * attributes that a row names; others stay. All of them with one statement. Gives for each whether that changed anything,
 * or why it cannot be; `skipped` is one that has another email by now. `dryRun` changes nothing.
 * @throws {NotFound}
 */
export async function mergeUsers(
  tx: Tx,
  rows: readonly { id: number; user: NewUser }[],
  { dryRun = false, actor = null }: { dryRun?: boolean; actor?: Actor } = {},
): Promise<('updated' | 'unchanged' | 'skipped' | Refusal)[]> {
  const users = await Promise.all(rows.map(({ id }) => lockUser(tx, id)));
  const updated: User[] = [];
  const outcomes = rows.map(({ id, user: { name, email, attributes } }, n) => {
    const user = presentUser(tx, users[n], id);
    if (user.emailKey !== emailKey(email)) return 'skipped' as const;
    try {
      const next = { name, email, attributes: { ...user.attributes, ...attributes } };
      const changed = changedFields(user, next);
      if (changed.length === 0) return 'unchanged';
      if (!dryRun) applyChange(tx, user, next, changed, actor);
      updated.push(user);
      return 'updated';
    } catch (error) {
      if (error instanceof Invalid) return error;
      throw error;
    }
  });
  if (!dryRun && updated.length > 0) await writeUsers(tx, updated);
  return outcomes;
}

type Given = Pick<User, (typeof FIELDS)[number]>;

/** @throws {Invalid} when the attributes grow too large */
function changedFields(user: User, next: Given) {
  requireAttributesFit(next.attributes);
  return FIELDS.filter((field) => JSON.stringify(next[field]) !== JSON.stringify(user[field]));
}

/** To be called in the turn in which the user was seen; `writeUsers` has to follow. */
function applyChange(
  tx: Tx,
  user: User,
  next: Given,
  changed: readonly (typeof FIELDS)[number][],
  actor: Actor,
): UserView {
  const updatedAt = new Date();
  Object.assign(user, next, keysOf(next), { version: user.version + 1, updatedAt });
  // What this write made of the user: another in the same transaction may change it again before it is written.
  const view = viewOf(user);
  record(tx, 'user.updated', view, view, changed, actor, updatedAt);
  if (changed.some((field) => field !== 'attributes')) mergeSearch(tx, user.searchKey);
  return view;
}

/** @throws {NotFound} | {PreconditionFailed} */
export async function deleteUser(
  tx: Tx,
  id: number,
  preconditions: Preconditions = {},
  actor: Actor = null,
): Promise<void> {
  const user = presentUser(tx, await lockUser(tx, id), id);
  requirePreconditions(preconditions, etagOf(user));
  record(tx, 'user.deleted', { id, version: user.version + 1 }, null, FIELDS, actor, new Date());
  mergeSearch(tx, user.searchKey);
  await tx.remove(User, user);
}

function record(
  tx: Tx,
  type: ChangeType,
  { id, version }: { id: number; version: number },
  user: UserView | null,
  changedFields: readonly string[],
  actor: Actor,
  at: Date,
): void {
  recordChange(tx, { type, userId: id, version, user, changedFields, actor, at });
}

export function userNotFound(id: number): NotFound {
  return new NotFound('user-not-found', `There is no user ${id}.`);
}

function lockUser(tx: Tx, id: number): Promise<User | undefined> {
  return id <= MAX_ID ? tx.lock(User, id) : Promise.resolve(undefined);
}

/**
 * To be asked right before the change, without an await between: a delete in the same transaction, before this write
 * in order, is not in the database yet.
 */
function presentUser(tx: Tx, user: User | undefined, id: number): User {
  if (user === undefined || tx.isRemoved(user)) throw userNotFound(id);
  return user;
}

async function writeUsers(tx: Tx, users: readonly User[]): Promise<void> {
  try {
    await tx.update(User, users);
  } catch (error) {
    throw isTakenEmail(error) ? emailTaken() : error;
  }
}

export function emailTaken(): Conflict {
  return new Conflict('email-taken', 'Another user has this email.');
}

function isTakenEmail(error: unknown): boolean {
  return (
    error instanceof Error &&
    error.name === 'UniqueConstraintViolationException' &&
    /users[_.]email_key/.test(error.message)
  );
}

function requireAttributesFit(attributes: Attributes): void {
  const bytes = jsonBytes(attributes);
  if (bytes > MAX_ATTRIBUTES_BYTES) {
    const detail = `would take ${bytes} bytes, at most ${MAX_ATTRIBUTES_BYTES} are allowed`;
    throw new Invalid('invalid-body', 'The patched user would break a rule.', [
      { in: 'body', pointer: '#/attributes', detail },
    ]);
  }
}

function keysOf({ name, email }: Pick<UserView, 'name' | 'email'>) {
  return { nameKey: nameKey(name), emailKey: emailKey(email), searchKey: searchKey(name, email) };
}

function viewOf(user: Omit<User, 'nameKey' | 'emailKey' | 'searchKey'>): UserView {
  const { id, name, email, attributes, version, createdAt, updatedAt } = user;
  return {
    id,
    name,
    email,
    attributes,
    version,
    createdAt: createdAt.toISOString(),
    updatedAt: updatedAt.toISOString(),
  };
}
