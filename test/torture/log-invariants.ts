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
  const there = new Map(users.map((user) => [user.id, user]));
  const ids = new Set([...rebuilt.keys(), ...there.keys()]);
  return [...ids].flatMap((id) => {
    const [fromLog, fromTable] = [rebuilt.get(id), there.get(id)];
    return isDeepStrictEqual(fromLog, fromTable)
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

/** A follower saw each change once, in order, and as it is; of the erased it may have seen what is no longer there. */
export function followerSawAll(seen: readonly Change[], log: readonly Change[]): string[] {
  const erased = erasedIds(log);
  const strip = (change: Change) => {
    const { position, type, userId, version } = change;
    return erased.has(userId) ? { position, type, userId, version } : change;
  };
  for (let at = 0; at < Math.max(seen.length, log.length); at++) {
    const [one, other] = [seen[at], log[at]];
    if (one === undefined || other === undefined || !isDeepStrictEqual(strip(one), strip(other)))
      return [
        `a follower saw ${JSON.stringify(one)} as number ${at + 1}, where the log has ${JSON.stringify(other)}`,
      ];
  }
  return [];
}

/** What a webhook was sent: of each position the ids of its messages, and of each user the positions in their order. */
export interface Taken {
  ids: Map<number, Set<string>>;
  order: Map<number, number[]>;
}

export function webhookTookAll({ ids, order }: Taken, log: readonly Change[]): string[] {
  const known = new Set(log.map(({ position }) => position));
  return [
    ...log
      .filter(({ position }) => !ids.has(position))
      .map(({ position }) => `a webhook was never sent ${position}`),
    ...[...ids.keys()]
      .filter((position) => !known.has(position))
      .map((position) => `a webhook was sent ${position}, which is not in the log`),
    ...[...ids]
      .filter(([, under]) => under.size !== 1)
      .map(([position, under]) => `${position} was sent under ${[...under].join(' and ')}`),
    ...[...order]
      .filter(([, positions]) => positions.some((one, at) => one < (positions[at - 1] ?? 0)))
      .map(([id, positions]) => `the changes of user ${id} came as ${positions.join(', ')}`),
  ];
}

/** Adds a message to what was taken; one that comes again keeps its first place. */
export function take(
  taken: Taken,
  id: string,
  { position, userId }: { position: number; userId: number },
): void {
  if (!taken.ids.has(position)) taken.order.set(userId, [...(taken.order.get(userId) ?? []), position]);
  taken.ids.set(position, (taken.ids.get(position) ?? new Set()).add(id));
}

export function erasedIds(log: readonly Change[]): Set<number> {
  return new Set(log.filter(({ type }) => type === 'user.erased').map(({ userId }) => userId));
}
