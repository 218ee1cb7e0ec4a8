import type { ChangeType } from '../changes/change.entity.ts';
import { toDate } from '../db/dialect.ts';
import { readJson } from '../db/json.ts';
import type { Reader } from '../db/reader.ts';
import type { Tx } from '../db/tx.ts';
import type { Message } from './message.ts';
import type { Outcome } from './sender.ts';
import type { OldSecret } from './webhook.entity.ts';
import { DISABLE, readWebhook, type WebhookRow } from './webhooks.ts';

/** A webhook as a delivery sees it. */
export type Target = ReturnType<typeof targetOf>;

export async function readTarget(reader: Reader, id: number): Promise<Target | undefined> {
  const row = await readWebhook(reader, id);
  return row && targetOf(row);
}

function targetOf(row: WebhookRow) {
  const old = readJson(row.old_secrets) as OldSecret[];
  return {
    id: row.id,
    url: row.url,
    types: row.types === null ? undefined : (readJson(row.types) as ChangeType[]),
    /** All that sign now, the newest first. */
    secrets: [row.secret, ...old.filter(({ until }) => until > Date.now()).map(({ secret }) => secret)],
    position: Number(row.position),
    acknowledged: readJson(row.acknowledged) as number[],
    epoch: row.epoch,
    failures: row.failures,
    failingSince: row.failing_since === null ? undefined : toDate(row.failing_since),
    lastError: row.last_error ?? '',
    retryAt: row.retry_at === null ? undefined : toDate(row.retry_at),
    triedUpTo: row.tried_up_to === null ? undefined : Number(row.tried_up_to),
    isDisabled: row.disabled_at !== null,
  };
}

/** One try at sending one message. */
export interface Attempt {
  message: Message;
  at: Date;
  outcome: Outcome;
}

export interface Reached {
  position: number;
  /** What has been acknowledged beyond it. */
  acknowledged: readonly number[];
}

/**
 * Keeps how far a delivery has come. False, and nothing is kept, when the webhook is gone or was set to another position
 * meanwhile.
 */
export async function saveReached(tx: Tx, target: Target, reached: Reached): Promise<boolean> {
  return set(tx, target, 'position = ?, acknowledged = ?', [
    reached.position,
    JSON.stringify(reached.acknowledged),
  ]);
}

/** When everything up to a position is acknowledged, or nothing to have. */
export async function saveSuccess(tx: Tx, target: Target, position: number): Promise<void> {
  const all = 'failures = 0, failing_since = null, last_error = null, retry_at = null, tried_up_to = null';
  await set(tx, target, `${all}, position = ?, acknowledged = '[]'`, [position]);
}

/** When something is. False, and nothing is kept, as for `saveReached`. */
export async function saveFailing(
  tx: Tx,
  target: Target,
  failing: { failures: number; since: Date; error: string; retryAt: Date; triedUpTo: number | null },
): Promise<boolean> {
  const { failures, since, error, retryAt, triedUpTo } = failing;
  const all = 'failures = ?, failing_since = ?, last_error = ?, retry_at = ?, tried_up_to = ?';
  return set(tx, target, all, [failures, since, error, retryAt, triedUpTo]);
}

/** False, and nothing is kept, as for `saveReached`. */
export async function disable(tx: Tx, target: Target, reason: string): Promise<boolean> {
  return set(tx, target, DISABLE, [new Date(), reason]);
}

async function set(tx: Tx, { id, epoch }: Target, what: string, values: unknown[]): Promise<boolean> {
  const rows = await tx.execute(`update webhooks set ${what} where id = ? and epoch = ? returning id`, [
    ...values,
    id,
    epoch,
  ]);
  return rows.length > 0;
}
