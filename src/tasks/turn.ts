import { databaseFailure } from '../db/failures.ts';
import type { Tx } from '../db/tx.ts';
import { Refusal } from '../errors.ts';
import { type Claimed, claim, type Room } from './claim.ts';
import { cancelDescendants } from './control.ts';
import type { Run } from './run.ts';
import { type FencedProgress, type Outcome, saveProgress, settle } from './settle.ts';
import type { TaskState } from './task.entity.ts';
import { CHANGED } from './topics.ts';
import { promote, type Renewed, renew, rescue } from './upkeep.ts';

/** What has become due for a runner to write. */
export interface Due {
  over: readonly Run[];
  /** Claimed by a commit that seemed to fail: nobody has begun them, so they are given back. */
  strays: readonly Outcome[];
  progress: readonly FencedProgress[];
  renew: boolean;
  promote: boolean;
  /** `all`: those of every other runner, whatever their leases say. */
  rescue: 'expired' | 'all' | undefined;
  room: Room | undefined;
}

export interface Written {
  settled: ReadonlyMap<number, TaskState>;
  renewed: readonly Renewed[] | undefined;
  /** Whether tasks that others had, or that had to wait for their time, may be waiting for a runner now. */
  hasMoved: boolean;
  claimed: readonly Claimed[];
}

/** Of the kinds `waiting` a vanished process is not blamed. */
export interface Self {
  id: string;
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
  tx.changed();
  const settled = await settleRuns(tx, due.over, due.strays);
  await saveProgress(tx, due.progress);
  const renewed = due.renew ? await renew(tx, self.id) : undefined;
  const rescued = due.rescue === undefined ? 0 : await rescue(tx, self, due.rescue);
  const promoted = due.promote ? await promote(tx) : 0;
  const claimed = due.room === undefined ? [] : await claim(tx, self.id, due.room);
  if (claimed.length > 0) reached('claiming');
  if (settled.size > 0) reached('settling');
  if (rescued > 0) tx.ring(CHANGED);
  return { settled, renewed, hasMoved: rescued + promoted > 0, claimed };
}

/** A task that does not succeed leaves nobody behind who still works for it. */
async function settleRuns(
  tx: Tx,
  over: readonly Run[],
  strays: readonly Outcome[] = [],
): Promise<Map<number, TaskState>> {
  const outcomes = over.flatMap(({ outcome }) => (typeof outcome === 'object' ? outcome : []));
  const settled = await settle(tx, [...strays, ...outcomes]);
  const parents = over
    .filter(({ kind }) => kind.waits)
    .map(({ id }) => id)
    .filter((id) => settled.get(id) === 'failed' || settled.get(id) === 'cancelled');
  await cancelDescendants(tx, parents);
  return settled;
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
    if (typeof run.outcome !== 'object') continue;
    try {
      settled(run, await write((tx) => settleRuns(tx, [run])));
    } catch (error) {
      if (isUnwritable(error)) run.spoil();
    }
  }
}
