import type { User } from '../../src/users/users.schemas.ts';
import type { Act, Task } from '../torture/history.ts';
import type { Evidence } from '../torture/judge.ts';
import { type Change, fold } from './log.ts';
import { takenOf } from './true-history.ts';

/*
 * What tests do to a true history, to see that it is found untrue.
 */

/** Another log, and everybody agrees: the table is made from it, and who listens saw it. */
export function rewrite(evidence: Evidence, by: (changes: Change[]) => Change[]): void {
  evidence.log = by(evidence.log);
  evidence.users = fold(evidence.log);
  follow(evidence, by);
  deliver(evidence, by);
}

/** Other streams. */
export function follow({ heard }: Evidence, by: (changes: Change[]) => Change[]): void {
  heard.followed = heard.followed.map(by);
}

/** Other messages to webhooks. */
export function deliver({ heard }: Evidence, by: (changes: Change[]) => Change[]): void {
  heard.taken = heard.taken.map(({ changes }) => takenOf(by(changes)));
}

/** As if this change had never been made. */
export function lose(evidence: Evidence, userId: number, version: number): void {
  const isAfter = (one: Change) => one.userId === userId && one.version > version;
  rewrite(evidence, (changes) =>
    changes
      .filter((one) => one.userId !== userId || one.version !== version)
      .map((one) => (isAfter(one) ? { ...one, version: one.version - 1 } : one)),
  );
}

/** As if this change had been made in the end. With a mark the user is there afterwards. */
export function make(evidence: Evidence, type: string, userId: number, mark?: string): void {
  const { log, users } = evidence;
  const version = log.filter((one) => one.userId === userId).length + 1;
  const email = users.find(({ id }) => id === userId)?.email ?? `${mark}@example.org`;
  const user =
    mark === undefined ? null : userLike(evidence, { id: userId, version, email, attributes: { mark } });
  const position = (log.at(-1)?.position ?? 0) + 1;
  const made = { position, type, userId, version, user, changedFields: [], actor: null, at: '' };
  rewrite(evidence, (changes) => [...changes, made]);
}

export function userLike({ users }: Evidence, more: Partial<User>): User {
  return { ...firstOf(users), ...more };
}

export function actOf({ history }: Evidence, mark: string): Act {
  return firstOf(history.acts.filter((act) => act.mark === mark));
}

export function taskOf(tasks: readonly Task[], id: number): Task {
  return firstOf(tasks.filter((task) => task.id === id));
}

export function changeOf(changes: readonly Change[], id: number): Change {
  return firstOf(changes.filter(({ userId }) => userId === id));
}

export function firstOf<T>([first]: readonly T[]): T {
  if (first === undefined) throw new Error('there is nothing to doctor');
  return first;
}

export function altered(changes: readonly Change[], at: number, more: Partial<Change>): Change[] {
  return changes.with(at, { ...firstOf(changes.slice(at)), ...more });
}

/** This one comes at once, and those between after it. */
export function moved(changes: readonly Change[], from: number, to: number): Change[] {
  return changes.toSpliced(from, 1).toSpliced(to, 0, firstOf(changes.slice(from)));
}
