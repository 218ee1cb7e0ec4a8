import { isDeepStrictEqual } from 'node:util';
import { readJson } from '../../src/db/json.ts';
import { emailKey } from '../../src/users/keys.ts';
import type { User } from '../../src/users/users.schemas.ts';
import type { Change } from '../support/log.ts';
import { afterImport, type HowToImport, type ImportTask, type Row } from './imports.ts';
import type { Verdict } from './judge.ts';
import type { Answer, Sent } from './memory.ts';
import { includesTag, merge, tagsOf } from './rfc.ts';

interface Kept {
  fingerprint: string;
  status: number;
  body: unknown;
  /** `Location` and `ETag`. */
  named: (string | undefined)[];
  /** How many had been erased by then: an erasure may empty a stored answer. */
  erased: number;
}

/** A request that was answered. */
export interface Done {
  sent: Sent;
  verdict: Verdict;
  answer: Answer;
}

/** What of a change depends on the request alone. */
type Expected = Pick<Change, 'type' | 'userId' | 'version' | 'changedFields'> & { user: object | null };

const CREATES: Record<string, number> = { createUser: 201, tutorialAddUser: 200 };
const WRITES: Record<string, number> = { ...CREATES, updateUser: 200, deleteUser: 204 };
const NAMES_A_USER = ['getUser', 'tutorialGetUser', 'updateUser', 'deleteUser'];
const FIELDS = ['name', 'email', 'attributes'] as const;
const MAX_ATTRIBUTES_BYTES = 16_384;

/** The directory as it must be, in the simplest form: what a request about users must be answered, and must change. */
export class Model {
  readonly users = new Map<number, User>();
  readonly owners = new Map<string, number>();
  readonly log: Change[] = [];
  /** Whom an accepted task may erase at any time. */
  readonly mayErase = new Set<number>();
  /** Whether a task that is not known here runs: it may change users as it likes. */
  hasForeignTasks = false;
  /** Answers that were held against what is known here. */
  readonly held = { predicted: 0, applied: 0, read: 0, replayed: 0, imported: 0 };
  readonly #kept = new Map<string, Kept>();
  #erased = 0;

  get head(): number {
    return this.log.at(-1)?.position ?? 0;
  }

  /** Whether nobody that is there may change but by a request. */
  get isSure(): boolean {
    return !this.hasForeignTasks && ![...this.mayErase].some((id) => this.users.has(id));
  }

  /** Which of those it was told of may still be erased, now that the log was followed. */
  stillMayErase(ids: ReadonlySet<number>): void {
    // One that was given up may have emptied stored answers before.
    for (const id of this.mayErase) if (!ids.has(id)) this.#erased++;
    this.mayErase.clear();
    for (const id of ids) this.mayErase.add(id);
  }

  /** The statuses that a valid request can have; undefined where any that is documented will do. */
  predict(verdict: Verdict): readonly number[] | undefined {
    const { operation, valid, path, query } = verdict;
    if (valid !== 'yes' || operation === undefined || this.hasForeignTasks) return undefined;
    const replay = this.#replay(verdict);
    if (replay !== undefined) return replay;
    const body = (verdict.body ?? {}) as Record<string, unknown>;
    const created = CREATES[operation.id];
    if (created !== undefined) return this.#unlessTaken(body.email, [created]);
    const id = Number(path.id);
    if (!NAMES_A_USER.includes(operation.id) || this.mayErase.has(id) || query.at !== undefined)
      return undefined;
    const user = this.users.get(id);
    const refused = refusedBy(verdict, user);
    if (refused !== undefined || user === undefined) return [refused ?? 404];
    if (operation.id === 'deleteUser') return [204];
    if (operation.id !== 'updateUser') return [200];
    const next = patched(user, body);
    const fits = Buffer.byteLength(JSON.stringify(next.attributes)) <= MAX_ATTRIBUTES_BYTES;
    return this.#unlessTaken(body.email, [fits ? 200 : 422], id);
  }

  /**
   * Follows the log by what came of a request.
   * @throws {Error} unless the changes are those that it must have made: what was sent, and not a thing more
   */
  apply(verdict: Verdict, answer: Answer, changes: readonly Change[]): void {
    const { operation } = verdict;
    const isWrite = operation !== undefined && operation.method !== 'GET' && answer.status < 300;
    const body = isWrite && answer.text !== '' ? readJson(answer.text) : undefined;
    const isReplay = answer.headers['idempotent-replayed'] !== undefined;
    const expected = isWrite && !isReplay ? this.#expect(verdict, body) : [];
    const uncertain = new Set(this.mayErase);
    const isSure = ({ userId }: { userId: number }) => !uncertain.has(userId);
    for (const change of changes) this.#follow(change);
    if (isWrite) this.#keep(verdict, answer, body, isReplay);
    if (this.hasForeignTasks) return;
    const [seen, wanted] = [changes.filter(isSure).map(withoutTimes), expected.filter(isSure)];
    if (!isDeepStrictEqual(seen, wanted))
      throw new Error(`the log says ${JSON.stringify(seen)}\n  not ${JSON.stringify(wanted)}`);
    if (!isWrite || isReplay || !(operation.id in WRITES)) return;
    this.held.applied++;
    this.#checkWritten(verdict, answer, body, uncertain);
  }

  /** What was answered is what is kept. */
  #checkWritten(
    { operation }: Verdict,
    { headers }: Answer,
    body: unknown,
    uncertain: ReadonlySet<number>,
  ): void {
    if (operation?.id === 'deleteUser') return;
    const answered = (operation?.id === 'tutorialAddUser' ? (body as { user: User }).user : body) as User;
    if (uncertain.has(answered.id)) return;
    const kept = this.users.get(answered.id);
    const { id, name, email } = kept ?? {};
    if (!isDeepStrictEqual(answered, operation?.id === 'tutorialAddUser' ? { id, name, email } : kept))
      throw new Error(`answered was ${JSON.stringify(answered)}, kept is ${JSON.stringify(kept)}`);
    if (operation?.id !== 'tutorialAddUser' && headers.etag !== `"${kept?.version}"`)
      throw new Error(`the ETag is ${headers.etag}`);
    if (operation?.id === 'createUser' && headers.location !== `/users/${id}`)
      throw new Error(`the Location is ${headers.location}`);
  }

  /**
   * Follows the log by what came of requests that were sent at once.
   * @throws {Error} unless each accepted write is in the log, once, and no other
   */
  applyAll(all: readonly Done[], changes: readonly Change[]): void {
    const accepted = all.filter(
      ({ verdict, answer }) =>
        answer.status < 300 &&
        verdict.operation?.method !== 'GET' &&
        answer.headers['idempotent-replayed'] === undefined,
    );
    const rest = new Set(changes.filter((one) => !this.#isErasure(one)).map(withoutTimes));
    const present = new Map(this.users);
    const uncertain = new Set(this.mayErase); // of whom the erasure may have been the one that deleted them
    for (const change of changes) this.#follow(change);
    for (const { verdict, answer } of accepted) {
      const body = answer.text === '' ? undefined : readJson(answer.text);
      this.#keep(verdict, answer, body, false);
      const id = Number(verdict.path.id);
      if (uncertain.has(id)) continue;
      if (verdict.operation?.id === 'updateUser') {
        // It stands in the log as it was answered, unless it changed nothing.
        const { version, name, email, attributes } = body as User;
        const one = [...rest].find((change) => change.userId === id && change.version === version);
        if (one === undefined && present.get(id)?.version === undefined)
          throw new Error(`no change of user ${id}`);
        // Or it is how the user began, at the same time: then nothing was left to change.
        if (one !== undefined && one.user === null) throw new Error(`user ${id} was not updated`);
        if (one !== undefined && !isDeepStrictEqual(one.user, { name, email, attributes }))
          throw new Error(`not ${answer.text}`);
        continue;
      }
      const creates = (verdict.operation?.id ?? '') in CREATES;
      if (!creates && verdict.operation?.id !== 'deleteUser') continue;
      // A number that a task was to erase has just been given to somebody: of them the log may say nothing any more.
      const { id: bodyId, user: within } = (body ?? {}) as { id?: number; user?: { id?: number } };
      const createdId = creates ? (within?.id ?? bodyId) : undefined;
      if (createdId !== undefined && uncertain.has(createdId)) continue;
      const { name, email, attributes = {} } = (verdict.body ?? {}) as User;
      const user = creates ? { name, email, attributes } : null;
      const one = [...rest].find((change) =>
        creates
          ? change.userId === createdId && change.version === 1 && isDeepStrictEqual(change.user, user)
          : change.userId === id && change.user === null,
      );
      if (one === undefined) throw new Error(`${verdict.operation?.id} was accepted, and is not in the log`);
      rest.delete(one);
    }
    if (this.hasForeignTasks) return;
    const strange = [...rest].filter((one) => !uncertain.has(one.userId) && !this.#isAskedFor(one, accepted));
    if (strange.length > 0) throw new Error(`nobody asked for ${JSON.stringify(strange)}`);
    this.held.applied++;
  }

  /** Whether it is what one of the patches makes of the user before it, whose version that patch did not rule out. */
  #isAskedFor({ type, userId, version, user }: Expected, accepted: readonly Done[]): boolean {
    const before = this.log.findLast((one) => one.userId === userId && one.version === version - 1)?.user;
    if (type !== 'user.updated' || !before) return false;
    return accepted.some(
      ({ verdict: { operation, path, headers, body }, answer }) =>
        operation?.id === 'updateUser' &&
        Number(path.id) === userId &&
        (readJson(answer.text) as User).version === version &&
        refusedBy({ operation, headers }, before) === undefined &&
        isDeepStrictEqual(user, patched(before, body as Record<string, unknown>)),
    );
  }

  /**
   * Follows the log by what an import that has ended did.
   * @throws {Error} unless the users of its rows are as the rows say, with no change but those
   */
  applyImport(rows: readonly Row[], how: HowToImport, task: ImportTask, changes: readonly Change[]): void {
    const wanted = afterImport(rows, how, this);
    const own = changes.filter(({ userId }) => !this.mayErase.has(userId)); // who is gone may be erased at any time
    for (const change of changes) this.#follow(change);
    if (task.state !== wanted.state) throw new Error(`the import has ${task.state}, not ${wanted.state}`);
    if (task.result !== null && !isDeepStrictEqual(task.result, wanted.counts))
      throw new Error(`the import says ${JSON.stringify(task.result)}, not ${JSON.stringify(wanted.counts)}`);
    if (own.length !== wanted.changes)
      throw new Error(`not ${wanted.changes} changes: ${JSON.stringify(own.map(withoutTimes))}`);
    for (const [key, user] of wanted.users) {
      const { name, email, attributes } = this.users.get(this.owners.get(key) ?? 0) ?? {};
      if (!isDeepStrictEqual({ name, email, attributes }, user))
        throw new Error(
          `the import made ${JSON.stringify({ name, email, attributes })} of ${JSON.stringify(user)}`,
        );
    }
    this.held.imported++;
  }

  /** @throws {Error} unless somebody who was erased is gone, and the log says so last */
  requireErased(id: number): void {
    const last = this.log.findLast(({ userId }) => userId === id);
    if (this.users.has(id) || (last !== undefined && last.type !== 'user.erased'))
      throw new Error(`user ${id} was to be erased, the log says ${JSON.stringify(last)}`);
  }

  #follow(change: Change): void {
    const { userId, user } = change;
    const before = this.users.get(userId);
    if (user !== null) {
      const { id, version, createdAt, updatedAt } = user;
      const wanted = [
        userId,
        change.version,
        (before?.version ?? 0) + 1,
        before?.createdAt ?? change.at,
        change.at,
      ];
      if (!isDeepStrictEqual([id, version, change.version, createdAt, updatedAt], wanted))
        throw new Error(`a change that does not fit: ${JSON.stringify(change)}`);
    }
    if (before !== undefined) this.owners.delete(emailKey(before.email));
    if (user === null) this.users.delete(userId);
    else {
      const owner = this.owners.get(emailKey(user.email));
      if (owner !== undefined && owner !== userId) throw new Error(`${owner} and ${userId} have one email`);
      this.users.set(userId, user);
      this.owners.set(emailKey(user.email), userId);
    }
    this.log.push(change);
    if (change.type !== 'user.erased') return;
    // It empties the earlier changes of the user as well.
    for (const one of this.log) {
      if (one.userId === userId && one !== change)
        Object.assign(one, { user: null, changedFields: [], actor: null });
    }
    this.#erased++;
    this.mayErase.delete(userId);
  }

  #isErasure({ type, userId }: Change): boolean {
    return this.mayErase.has(userId) && (type === 'user.erased' || type === 'user.deleted');
  }

  /** The changes that an accepted request must have made. */
  #expect({ operation, body, path }: Verdict, answer: unknown): Expected[] {
    if (operation === undefined) return [];
    if (operation.id in CREATES) {
      const { name, email, attributes = {} } = body as User;
      const { id: userId } = (
        operation.id === 'createUser' ? answer : (answer as { user: User }).user
      ) as User;
      const user = { name, email, attributes };
      return [{ type: 'user.created', userId, version: 1, user, changedFields: [...FIELDS] }];
    }
    const userId = Number(path.id);
    const before = this.users.get(userId);
    if ((operation.id !== 'updateUser' && operation.id !== 'deleteUser') || this.mayErase.has(userId))
      return [];
    if (before === undefined) throw new Error(`user ${userId}, who is not there, was changed`);
    const next = { userId, version: before.version + 1 };
    if (operation.id === 'deleteUser') {
      return [{ type: 'user.deleted', ...next, user: null, changedFields: [...FIELDS] }];
    }
    const user = patched(before, body as Record<string, unknown>);
    const changedFields = FIELDS.filter((one) => !isDeepStrictEqual(user[one], before[one]));
    return changedFields.length === 0 ? [] : [{ type: 'user.updated', ...next, user, changedFields }];
  }

  #unlessTaken(email: unknown, free: number[], self?: number): number[] {
    const owner = typeof email === 'string' ? this.owners.get(emailKey(email)) : undefined;
    if (owner === undefined || owner === self) return free;
    return this.mayErase.has(owner) ? [409, ...free] : [409];
  }

  /** With an `Idempotency-Key` that was used before. */
  #replay(verdict: Verdict): number[] | undefined {
    const kept = this.#kept.get(keyOf(verdict) ?? '');
    if (kept === undefined) return undefined;
    if (kept.erased !== this.#erased || this.mayErase.size > 0) return [kept.status, 422];
    return kept.fingerprint === fingerprintOf(verdict) ? [kept.status] : [422];
  }

  #keep(verdict: Verdict, { status, headers }: Answer, body: unknown, isReplay: boolean): void {
    const key = keyOf(verdict);
    if (key === undefined) return;
    const kept = this.#kept.get(key);
    if (isReplay !== (kept !== undefined))
      throw new Error(`Idempotent-Replayed is ${isReplay ? '' : 'not '}there`);
    const named = [headers.location, headers.etag];
    if (kept !== undefined && !isDeepStrictEqual([kept.body, kept.named], [body, named]))
      throw new Error('another answer for the same key');
    if (kept !== undefined) this.held.replayed++;
    else
      this.#kept.set(key, { fingerprint: fingerprintOf(verdict), status, body, named, erased: this.#erased });
  }
}

/** By its conditions, in the order of RFC 9110 §13.2.2; undefined when they hold. */
function refusedBy(
  { operation, headers }: Pick<Verdict, 'operation' | 'headers'>,
  user: User | undefined,
): number | undefined {
  if (operation?.id === 'tutorialGetUser') return undefined; // it knows no conditions
  const { 'if-match': match, 'if-none-match': none } = headers;
  const wanted = match === undefined ? '*' : tagsOf(match);
  const excluded = none === undefined ? [] : tagsOf(none);
  if (wanted === undefined || excluded === undefined) return 400;
  if (user === undefined) return 404;
  const etag = `"${user.version}"`;
  if (!includesTag(wanted, etag, 'strong')) return 412;
  if (!includesTag(excluded, etag, 'weak')) return undefined;
  return operation?.method === 'GET' ? 304 : 412;
}

function patched({ name, email, attributes }: User, patch: Record<string, unknown>) {
  const next = merge({ name, email, attributes }, patch) as Pick<User, (typeof FIELDS)[number]>;
  return { name: next.name, email: next.email, attributes: next.attributes ?? {} };
}

function withoutTimes({ type, userId, version, user, changedFields }: Change): Expected {
  const kept = user && { name: user.name, email: user.email, attributes: user.attributes };
  return { type, userId, version, user: kept, changedFields };
}

/** Its `Idempotency-Key`, which is its client's own. */
function keyOf({ client, headers }: Verdict): string | undefined {
  const key = headers['idempotency-key'];
  return key === undefined ? undefined : `${client} ${key}`;
}

/** The same request: operation, and the body as it is read. The order of members counts, spaces do not. */
function fingerprintOf({ operation, body }: Verdict): string {
  return JSON.stringify([operation?.id, body]);
}
