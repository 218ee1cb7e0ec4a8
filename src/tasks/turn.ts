import { databaseFailure } from '../db/failures.ts';
import type { Tx } from '../db/tx.ts';
import { Refusal } from '../errors.ts';
import { type Claimed, claim, type Room } from './claim.ts';
import { cancelDescendants } from './control.ts';
import type { Run } from './run.ts';
import { type Outcome, saveProgress, settle } from './settle.ts';
import type { TaskProgress, TaskState } from './task.entity.ts';
import { promote, type Renewed, renew, rescue } from './upkeep.ts';

/** What has become due for a runner to write. */
export interface Due {
  over: readonly Run[];
  /** Claimed by a commit that seemed to fail: nobody has begun them, so they are given back. */
  strays: readonly Outcome[];
  progress: readonly { run: Run; progress: TaskProgress }[];
  renew: boolean;
  promote: boolean;
  /** `all`: those of every other runner, whatever their leases say. */
  rescue: 'expired' | 'all' | undefined;
  room: Room | undefined;
}

export interface Written {
  settled: ReadonlyMap<number, TaskState>;
  renewed: readonly Renewed[] | undefined;
  /** Tasks that others had, and that may be waiting now. */
  rescued: number;
  promoted: number;
  claimed: readonly Claimed[];
  /** Children of tasks that did not succeed. */
  cancelled: number;
}

/** For `leaseMs` a claim lasts; of the kinds `waiting` a vanished process is not blamed. */
export interface Self {
  id: string;
  leaseMs: number;
  waiting: readonly string[];
}

/**
 * Writes all of it in the caller's transaction. What ends comes first, because it makes room; leases are renewed before
 * anything is claimed, so that what they tell is about tasks that the runner knows.
 */
export async function writeTurn(
  tx: Tx,
  self: Self,
  due: Due,
  reached: (step: string) => void,
): Promise<Written> {
  const { em } = tx;
  tx.changed();
  const outcomes = due.over.flatMap(({ outcome }) => (typeof outcome === 'object' ? outcome : []));
  const settled = await settle(em, [...due.strays, ...outcomes]);
  // A task that does not succeed leaves nobody behind who still works for it.
  const parents = due.over
    .filter(({ kind }) => kind.waits)
    .map(({ claimed }) => claimed.id)
    .filter((id) => settled.get(id) === 'failed' || settled.get(id) === 'cancelled');
  const cancelled = await cancelDescendants(em, parents);
  await saveProgress(
    em,
    due.progress.map(({ run, progress }) => ({ ...run.fence, progress })),
  );
  const renewed = due.renew ? await renew(em, self.id, self.leaseMs) : undefined;
  const rescued =
    due.rescue === undefined
      ? []
      : await rescue(em, { runner: self.id, all: due.rescue === 'all', waiting: self.waiting });
  const promoted = due.promote ? await promote(em) : 0;
  const claimed = due.room === undefined ? [] : await claim(em, self.id, self.leaseMs, due.room);
  if (claimed.length > 0) reached('claiming');
  if (settled.size > 0) reached('settling');
  return { settled, renewed, rescued: rescued.length, promoted, claimed, cancelled: cancelled.length };
}

/** Whether a turn failed, and not because the database is away or busy: then it holds what cannot be written. */
export function isUnwritable(error: unknown): boolean {
  return databaseFailure(error) === undefined && !(error instanceof Refusal);
}

/** Writes each end by itself, so that one which cannot be written, whatever the reason, keeps back no other. */
export async function settleApart(
  write: <T>(work: (tx: Tx) => Promise<T>) => Promise<T>,
  over: readonly Run[],
  settled: (run: Run, states: ReadonlyMap<number, TaskState>) => void,
): Promise<void> {
  for (const run of over) {
    const { outcome } = run;
    if (typeof outcome !== 'object') continue;
    try {
      settled(run, await write((tx) => settle(tx.em, [outcome])));
    } catch (error) {
      if (isUnwritable(error)) run.spoil();
    }
  }
}
