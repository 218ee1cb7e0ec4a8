import { isDeepStrictEqual } from 'node:util';
import type { User } from '../../src/users/users.schemas.ts';
import { type Change, fold } from '../support/log.ts';

/*
 * What must hold of a log whoever wrote it. Each gives what breaks it, in words; nothing when it holds.
 */

export function positionsRise(log: readonly Change[]): string[] {
  return log
    .filter(({ position }, at) => position <= (log[at - 1]?.position ?? 0))
    .map(({ position }) => `position ${position} comes after one that is not smaller`);
}

/** Of each user one version after the other, from 1: none is missing, none is there twice. */
export function versionsInLine(log: readonly Change[]): string[] {
  const versions = new Map<number, number>();
  return log.flatMap(({ userId, version, position }) => {
    const before = versions.get(userId) ?? 0;
    versions.set(userId, version);
    return version === before + 1
      ? []
      : [`user ${userId}: version ${version} at ${position} follows ${before}`];
  });
}

export function logRebuildsTable(log: readonly Change[], users: readonly User[]): string[] {
  const rebuilt = new Map(fold(log).map((user) => [user.id, user]));
  const there = Map.groupBy(users, ({ id }) => id);
  const ids = new Set([...rebuilt.keys(), ...there.keys()]);
  return [...ids].flatMap((id) => {
    const [fromLog, fromTable = []] = [rebuilt.get(id), there.get(id)];
    return isDeepStrictEqual(fromLog === undefined ? [] : [fromLog], fromTable)
      ? []
      : [`user ${id}: ${JSON.stringify(fromLog)} in the log, ${JSON.stringify(fromTable)} in the table`];
  });
}

/** At no moment of the log did two users have one email, and the table has none twice. */
export function emailsUnique(log: readonly Change[], users: readonly User[]): string[] {
  const owners = new Map<string, number>();
  const emails = new Map<number, string>();
  const broken: string[] = [];
  const take = (email: string, id: number, where: string) => {
    const owner = owners.get(email);
    if (owner !== undefined && owner !== id)
      broken.push(`${where}: user ${id} takes the email of ${owner}, ${email}`);
    owners.set(email, id);
    emails.set(id, email);
  };
  for (const { userId, user, position } of log) {
    const before = emails.get(userId);
    if (before !== undefined && owners.get(before) === userId) owners.delete(before);
    emails.delete(userId);
    if (user !== null) take(user.email.toLowerCase(), userId, `at ${position}`);
  }
  owners.clear();
  for (const { id, email } of users) take(email.toLowerCase(), id, 'in the table');
  return broken;
}

/** Of the erased the log keeps the places of their changes, and nothing that they say. */
export function erasedLeaveNothing(log: readonly Change[]): string[] {
  const erased = erasedIds(log);
  return log
    .filter(
      ({ userId, user, changedFields }) => erased.has(userId) && (user !== null || changedFields.length > 0),
    )
    .map((change) => `of an erased user there is ${JSON.stringify(change)}`);
}

/** A follower saw each change once, in order, and as it is. */
export function followerSawAll(seen: readonly Change[], log: readonly Change[]): string[] {
  const isSame = comparison(log);
  for (let at = 0; at < Math.max(seen.length, log.length); at++) {
    const [one, other] = [seen[at], log[at]];
    if (one === undefined || other === undefined || !isSame(one, other))
      return [
        `a follower saw ${JSON.stringify(one)} as number ${at + 1}, where the log has ${JSON.stringify(other)}`,
      ];
  }
  return [];
}

/** What a webhook was sent: of each position the ids of its messages, and the changes in the order in which they first came. */
export interface Taken {
  ids: Map<number, Set<string>>;
  changes: Change[];
}

export function webhookTookAll({ ids, changes }: Taken, log: readonly Change[]): string[] {
  const isSame = comparison(log);
  const known = new Map(log.map((change) => [change.position, change]));
  return [
    ...log
      .filter(({ position }) => !ids.has(position))
      .map(({ position }) => `a webhook was never sent ${position}`),
    ...changes
      .filter((change) => !isSame(change, known.get(change.position)))
      .map((change) => `a webhook was sent ${JSON.stringify(change)}, which is not in the log`),
    ...[...ids]
      .filter(([, under]) => under.size !== 1)
      .map(([position, under]) => `${position} was sent under ${[...under].join(' and ')}`),
    ...[...Map.groupBy(changes, ({ userId }) => userId)]
      .map(([id, own]) => ({ id, positions: own.map(({ position }) => position) }))
      .filter(({ positions }) => positions.some((one, at) => one < (positions[at - 1] ?? 0)))
      .map(({ id, positions }) => `the changes of user ${id} came as ${positions.join(', ')}`),
  ];
}

/** Adds a message to what was taken; one that comes again keeps its first place. */
export function take({ ids, changes }: Taken, id: string, change: Change): void {
  const { position } = change;
  if (!ids.has(position)) changes.push(change);
  ids.set(position, (ids.get(position) ?? new Set()).add(id));
}

/** Whether somebody was told what the log says; of the erased they may have been told what is no longer there. */
function comparison(log: readonly Change[]): (told: Change, logged: Change | undefined) => boolean {
  const erased = erasedIds(log);
  const strip = (change: Change) => {
    const { position, type, userId, version } = change;
    return erased.has(userId) ? { position, type, userId, version } : change;
  };
  return (told, logged) => logged !== undefined && isDeepStrictEqual(strip(told), strip(logged));
}

export function erasedIds(log: readonly Change[]): Set<number> {
  return new Set(log.filter(({ type }) => type === 'user.erased').map(({ userId }) => userId));
}
