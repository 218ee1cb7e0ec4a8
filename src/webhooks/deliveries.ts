import { toDate } from '../db/dialect.ts';
import { given, toGiven } from '../db/given.ts';
import type { Reader } from '../db/reader.ts';
import { dialectOf } from '../db/statement.ts';
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
  const dialect = dialectOf(tx.em);
  const rows = attempts.map(({ message, at, outcome: { status, ms, error } }, n) => ({
    n,
    message_id: message.id,
    // As text: what a number may be in JSON here, PostgreSQL would read as 32 bits.
    position: message.position === null ? null : String(message.position),
    type: message.type,
    attempted_at: toGiven(dialect, at),
    status,
    ms,
    error,
  }));
  const columns = {
    n: 'int',
    message_id: 'text',
    position: 'text',
    type: 'text',
    attempted_at: 'time',
    status: 'int',
    ms: 'int',
    error: 'text',
  } as const;
  // Of a webhook that was deleted meanwhile nobody would remove them any more.
  await tx.execute(
    `insert into webhook_deliveries (webhook_id, message_id, position, type, attempted_at, status, ms, error)
     select webhooks.id, message_id, cast(given.position as bigint), type, attempted_at, status, ms, error
     from ${given(dialect, columns)} join webhooks on webhooks.id = ? order by n
     ${dialect === 'sqlite' ? '' : 'for key share of webhooks'}`,
    [JSON.stringify(rows), webhookId],
  );
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
