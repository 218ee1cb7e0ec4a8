import type { Tx } from '../db/tx.ts';
import { Conflict, Refusal } from '../errors.ts';
import { emailKey } from '../users/keys.ts';
import { User } from '../users/user.entity.ts';
import type { NewUser } from '../users/users.schemas.ts';
import { createUser, mergeUsers } from '../users/users.ts';
import type { Counts } from './import.task.ts';
import { type Place, type Row, reasonOf } from './rows.ts';

export type Accepted = NewUser;
export type OnConflict = 'skip' | 'update' | 'fail';

/** A row, and whom it asks for, or why it cannot. */
export type Judged =
  | { row: Row; user: Accepted; reason?: never }
  | { row: Row; user?: never; reason: string };

interface Applied {
  outcomes: (keyof Counts)[];
  refused: { row: Row; reason: string }[];
  /** After the last row that was looked at; undefined when that was none. */
  place: Place | undefined;
  /** The row that is not to be, nor any after it. */
  conflict: Judged | undefined;
  /** The emails of a dry run. */
  emails: string[];
}

/** Whether an email is there already. */
export interface Seen {
  has(email: string): boolean;
}

interface Options {
  actor: string | null;
  onConflict: OnConflict;
  dryRun: boolean;
}

/** Does in one transaction what the rows ask for. `seen`: the emails that a dry run has met so far. */
export async function applyRows(
  tx: Tx,
  rows: readonly Judged[],
  options: Options,
  seen: Seen,
): Promise<Applied> {
  const conflict = options.onConflict === 'fail' ? await firstConflict(tx, rows, options, seen) : undefined;
  const wanted = conflict === undefined ? rows : rows.slice(0, rows.indexOf(conflict));
  const accepted = wanted.flatMap(({ user }) => user ?? []);
  const done = options.dryRun
    ? await tryUsers(tx, accepted, options, seen)
    : await writeUsers(tx, accepted, options);
  const outcomes: (keyof Counts)[] = [];
  const refused: Applied['refused'] = [];
  let at = 0;
  for (const { row, reason } of wanted) {
    const outcome = reason ?? done[at++] ?? '';
    const why = outcome instanceof Refusal ? reasonOf(outcome) : reason;
    if (why !== undefined) refused.push({ row, reason: why });
    outcomes.push(why === undefined ? (outcome as keyof Counts) : 'refused');
  }
  const emails = options.dryRun ? accepted.map(({ email }) => emailKey(email)) : [];
  return { outcomes, refused, place: wanted.at(-1)?.row.next, conflict, emails };
}

type Done = keyof Counts | Refusal;

async function writeUsers(
  tx: Tx,
  users: readonly Accepted[],
  { onConflict, actor }: Options,
): Promise<Done[]> {
  const done: Done[] = await Promise.all(
    users.map((user) =>
      createUser(tx, user, actor).then(
        () => 'created' as const,
        (error) => {
          // With `fail` somebody else has just created them: another attempt will see that.
          if (error instanceof Conflict && onConflict !== 'fail') return 'skipped' as const;
          throw error;
        },
      ),
    ),
  );
  if (onConflict !== 'update') return done;
  const taken = users.flatMap((user, at) => (done[at] === 'skipped' ? [{ user, at }] : []));
  const ids = await findIds(
    tx,
    taken.map(({ user }) => user),
  );
  const there = taken.flatMap((one, n) => {
    const id = ids[n];
    return id === undefined ? [] : [{ ...one, id }]; // gone in this moment: then it stays skipped
  });
  const merged = await mergeUsers(tx, there, { actor });
  for (const [n, { at }] of there.entries()) done[at] = merged[n] ?? 'skipped';
  return done;
}

function findIds(tx: Tx, users: readonly Accepted[]): Promise<(number | undefined)[]> {
  return Promise.all(users.map(({ email }) => tx.findId(User, 'emailKey', emailKey(email))));
}

async function firstConflict(
  tx: Tx,
  rows: readonly Judged[],
  { dryRun }: Options,
  seen: Seen,
): Promise<Judged | undefined> {
  const wanted = rows.filter(({ user }) => user !== undefined);
  const ids = await findIds(
    tx,
    wanted.flatMap(({ user }) => user ?? []),
  );
  const inBatch = new Set<string>();
  return wanted.find(({ user }, n) => {
    const key = emailKey(user?.email ?? '');
    const isTaken = ids[n] !== undefined || inBatch.has(key) || (dryRun && seen.has(key));
    inBatch.add(key);
    return isTaken;
  });
}

/** What would become of them. A second row for somebody who would be created counts as a change of them. */
async function tryUsers(
  tx: Tx,
  users: readonly Accepted[],
  { onConflict }: Options,
  seen: Seen,
): Promise<Done[]> {
  const ids = await findIds(tx, users);
  const there = users.flatMap((user, n) => {
    const id = ids[n];
    return id === undefined ? [] : [{ user, id, n }];
  });
  const merged = onConflict === 'update' ? await mergeUsers(tx, there, { dryRun: true }) : [];
  const outcomeOf = new Map(there.map(({ n }, at) => [n, merged[at] ?? ('skipped' as const)]));
  const inBatch = new Set<string>();
  return users.map(({ email }, n) => {
    const key = emailKey(email);
    const isNew = !seen.has(key) && !inBatch.has(key);
    inBatch.add(key);
    return outcomeOf.get(n) ?? (isNew ? 'created' : onConflict === 'update' ? 'updated' : 'skipped');
  });
}
