import { isDeepStrictEqual } from 'node:util';
import type { Change } from '../support/log.ts';
import type { Act, History } from './history.ts';
import { erasedIds } from './log-invariants.ts';

/*
 * What must hold between a log and the history of those who wrote it. The changes of an erased user say nothing any more
 * of who made them: of those only that they are there.
 */

/** The changes of a log, by what their authors know of them. */
export class Traces {
  readonly #byMark: Map<string | undefined, Change[]>;
  readonly #byUser: Map<number, Change[]>;
  readonly #erased: Set<number>;

  constructor(log: readonly Change[]) {
    this.#byMark = Map.groupBy(log, markOf);
    this.#byUser = Map.groupBy(log, ({ userId }) => userId);
    this.#erased = erasedIds(log);
  }

  isErased(userId: number | undefined): boolean {
    return userId !== undefined && this.#erased.has(userId);
  }

  of({ does, mark, userId }: Act): Change[] {
    const wanted = TYPES[does];
    const found =
      does === 'delete' || does === 'erase' ? this.#byUser.get(userId ?? 0) : this.#byMark.get(mark);
    return (found ?? []).filter(({ type }) => type === wanted);
  }

  version(userId: number | undefined, version: number): Change | undefined {
    return this.#byUser.get(userId ?? 0)?.find((change) => change.version === version);
  }
}

const TYPES: Record<Act['does'], string> = {
  create: 'user.created',
  import: 'user.created',
  patch: 'user.updated',
  delete: 'user.deleted',
  erase: 'user.erased',
};

function markOf({ user }: Change): string | undefined {
  if (user === null) return undefined;
  const { mark } = user.attributes as { mark?: string };
  return mark ?? user.email;
}

function inWords({ does, mark, fate, userId }: Act): string {
  return `${fate} ${does} ${mark}${userId === undefined ? '' : ` (user ${userId})`}`;
}

/** Each is in the log, as often as it was asked for and as its answer says. */
export function noAcknowledgedLost(history: History, traces: Traces): string[] {
  return history.acts
    .filter(({ fate }) => fate === 'acknowledged')
    .flatMap((act) => {
      const { answer, userId, does } = act;
      if (does === 'patch' && answer === undefined) return [`${inWords(act)} has no answer`];
      if (answer !== undefined) {
        const change = traces.version(userId, answer.version);
        if (change === undefined) return [`${inWords(act)} is lost`];
        if (!traces.isErased(userId) && !isDeepStrictEqual(change.user, answer))
          return [`${inWords(act)}: answered ${JSON.stringify(answer)}, logged ${JSON.stringify(change)}`];
      }
      if (traces.isErased(userId) && (does === 'create' || does === 'patch')) return [];
      const found = traces.of(act);
      const strange = found.find((change) => userId !== undefined && change.userId !== userId);
      if (strange !== undefined) return [`${inWords(act)} is in the log of user ${strange.userId}`];
      return found.length === act.changes ? [] : [`${inWords(act)} is in the log ${found.length} times`];
    });
}

/** Of a deletion that was refused another one may have come after it. */
export function noRefusedPresent(history: History, traces: Traces): string[] {
  const gone = new Set(
    history.acts
      .filter(({ does, fate }) => (does === 'delete' || does === 'erase') && fate !== 'refused')
      .map(({ userId }) => userId),
  );
  return history.acts
    .filter(({ fate, does, userId }) => fate === 'refused' && !(does === 'delete' && gone.has(userId)))
    .filter((act) => traces.of(act).length > 0)
    .map((act) => `${inWords(act)} is in the log`);
}

/** What nobody knows is there or it is not; what was repeated until it was answered is there once. */
export function unknownsAreWhole(history: History, traces: Traces): string[] {
  return history.acts
    .filter(({ fate, once }) => fate === 'unknown' || once)
    .filter(({ userId }) => !traces.isErased(userId))
    .flatMap((act) => {
      const { length } = traces.of(act);
      const allowed = act.once && act.fate === 'acknowledged' ? [1] : [0, act.changes];
      return allowed.includes(length) ? [] : [`${inWords(act)} is in the log ${length} times`];
    });
}

/** Every change is somebody's; those of the erased are counted. */
export function nothingMadeUp(history: History, log: readonly Change[], traces: Traces): string[] {
  const asked = new Set(
    history.acts.filter(({ fate }) => fate !== 'refused').map((act) => `${TYPES[act.does]} ${keyOf(act)}`),
  );
  return log
    .filter(({ userId, user }) => user !== null || !traces.isErased(userId))
    .filter((change) => !asked.has(`${change.type} ${markOf(change) ?? change.userId}`))
    .map((change) => `nobody asked for ${JSON.stringify(change)}`);
}

function keyOf({ does, mark, userId }: Act): string {
  return does === 'delete' || does === 'erase' ? String(userId) : mark;
}

/** The changes of the erased no longer say who made them. They can be counted: none is lost, and none too many. */
export function erasedAreCounted({ acts }: History, log: readonly Change[]): string[] {
  const changes = Map.groupBy(log, ({ userId, type }) => `${type} ${userId}`);
  return [...erasedIds(log)].flatMap((id) => {
    const own = acts.filter(({ userId, fate }) => userId === id && fate !== 'refused');
    return (['create', 'patch', 'erase'] as const).flatMap((does) => {
      const asked = own.filter((act) => act.does === does);
      const least = asked.filter(({ fate }) => fate === 'acknowledged').length;
      // An erasure deletes first.
      const types = does === 'erase' ? ['user.deleted', TYPES.erase] : [TYPES[does]];
      return types
        .map((type) => ({ type, count: changes.get(`${type} ${id}`)?.length ?? 0 }))
        .filter(({ count }) => count < least || count > asked.length)
        .map(({ type, count }) => `of the erased user ${id} there are ${count} ${type}, of ${asked.length}`);
    });
  });
}
