import { toDate } from '../db/dialect.ts';
import type { Reader } from '../db/reader.ts';
import type { Tx } from '../db/tx.ts';
import type { Attempt } from './target.ts';

/** So many attempts of each webhook are kept. */
const MOST_KEPT = 1000;

interface DeliveryRow {
  id: unknown;
  message_id: string;
  position: unknown;
  type: string;
  attempted_at: unknown;
  status: number | null;
  ms: number;
  error: string | null;
}

/** Keeps what was tried, and forgets what has become too much. */
export async function saveAttempts(tx: Tx, webhookId: number, attempts: readonly Attempt[]): Promise<void> {
  for (const { message, at, outcome } of attempts) {
    const { status, ms, error } = outcome;
    await tx.execute(
      `insert into webhook_deliveries (webhook_id, message_id, position, type, attempted_at, status, ms, error)
       values (?, ?, ?, ?, ?, ?, ?, ?)`,
      [webhookId, message.id, message.position, message.type, at, status, ms, error],
    );
  }
  await tx.execute(
    `delete from webhook_deliveries where webhook_id = ? and id <=
       (select id from webhook_deliveries where webhook_id = ? order by id desc limit 1 offset ?)`,
    [webhookId, webhookId, MOST_KEPT],
  );
}

/** The attempts of one webhook, newest first, those before an id. */
export async function listDeliveries(reader: Reader, webhookId: number, limit: number, before: number) {
  const rows = await reader.read<DeliveryRow>(
    `select id, message_id, position, type, attempted_at, status, ms, error from webhook_deliveries
     where webhook_id = ? and id < ? order by id desc limit ?`,
    [webhookId, before, limit],
  );
  return rows.map((row) => ({
    id: Number(row.id),
    messageId: row.message_id,
    ...(row.position !== null && { position: Number(row.position) }),
    type: row.type,
    attemptedAt: toDate(row.attempted_at),
    ...(row.status !== null && { status: row.status }),
    ms: row.ms,
    ...(row.error !== null && { error: row.error }),
  }));
}
