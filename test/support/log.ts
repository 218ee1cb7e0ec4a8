import type { User } from '../../src/users/users.schemas.ts';
import type { TestApp } from './app.ts';

export interface Change {
  position: number;
  type: string;
  userId: number;
  version: number;
  user: User | null;
  changedFields: string[];
  actor: string | null;
  at: string;
}

/** The whole log, page by page. */
export async function wholeLog({ request }: Pick<TestApp, 'request'>, limit = 1000): Promise<Change[]> {
  const changes: Change[] = [];
  for (let after = 0; ; ) {
    const page = await request('GET', `/changes?after=${after}&limit=${limit}`);
    changes.push(...page.json<Change[]>());
    after = Number(page.headers['muster-position']);
    if (page.headers.link === undefined) return changes;
  }
}

/** The users that the log tells of, by id. */
export function fold(changes: readonly Pick<Change, 'userId' | 'user'>[]): User[] {
  const users = new Map<number, User>();
  for (const { userId, user } of changes) {
    if (user === null) users.delete(userId);
    else users.set(userId, user);
  }
  return [...users.values()].sort((a, b) => a.id - b.id);
}
