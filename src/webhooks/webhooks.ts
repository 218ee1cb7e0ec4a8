import type { ChangeType } from '../changes/change.entity.ts';
import { MAX_ID, toDate } from '../db/dialect.ts';
import { readJson } from '../db/json.ts';
import type { Reader } from '../db/reader.ts';
import type { Tx } from '../db/tx.ts';
import { NotFound } from '../errors.ts';
import { cancelByKey, hastenByKey } from '../tasks/control.ts';
import { newSecret } from './message.ts';
import { DELIVER, WEBHOOKS } from './topics.ts';
import type { OldSecret } from './webhook.entity.ts';
import type { NewWebhook, WebhookPatch } from './webhooks.schemas.ts';

/** As the database gives it, whoever reads it: a request, or a delivery. */
export interface WebhookRow {
  id: number;
  url: string;
  types: string | null;
  description: string | null;
  secret: string;
  old_secrets: string;
  position: unknown;
  acknowledged: string;
  epoch: number;
  failures: number;
  failing_since: unknown;
  last_error: string | null;
  retry_at: unknown;
  tried_up_to: unknown;
  disabled_at: unknown;
  disabled_reason: string | null;
  created_at: unknown;
  updated_at: unknown;
}

const COLUMNS =
  'id, url, cast(types as text) as types, description, secret, cast(old_secrets as text) as old_secrets, position, ' +
  'cast(acknowledged as text) as acknowledged, epoch, failures, failing_since, last_error, retry_at, tried_up_to, ' +
  'disabled_at, disabled_reason, created_at, updated_at';

/** A secret that was replaced signs beside the new one for so long. */
const OVERLAP_MS = 86_400_000;
/** And at most so many of them do. */
const MOST_OLD_SECRETS = 4;

/** `position`: of the log, after which it follows. */
export async function createWebhook(tx: Tx, { url, types, description }: NewWebhook, position: number) {
  const now = new Date();
  const secret = newSecret();
  tx.changed();
  const [row] = await tx.execute<WebhookRow>(
    `insert into webhooks (url, types, description, secret, old_secrets, position, acknowledged, epoch, failures,
       created_at, updated_at) values (?, ?, ?, ?, '[]', ?, '[]', 0, 0, ?, ?) returning ${COLUMNS}`,
    [url, jsonOrNull(types), description ?? null, secret, position, now, now],
  );
  if (row === undefined) throw new Error('a webhook was not inserted');
  tx.ring(WEBHOOKS);
  return { ...webhookView(row), secret };
}

/** All of them: there are a few. */
export async function listWebhooks(reader: Reader) {
  return (await reader.read<WebhookRow>(`select ${COLUMNS} from webhooks order by id`, [])).map(webhookView);
}

export async function readWebhook(reader: Reader, id: number): Promise<WebhookRow | undefined> {
  if (id > MAX_ID) return undefined;
  return (await reader.read<WebhookRow>(`select ${COLUMNS} from webhooks where id = ?`, [id]))[0];
}

/** @throws {NotFound} */
export async function findWebhook(reader: Reader, id: number) {
  const row = await readWebhook(reader, id);
  if (row === undefined) throw webhookNotFound(id);
  return webhookView(row);
}

/**
 * What is waiting is tried at once when it may succeed now: with another URL, or when it is enabled again.
 * @throws {NotFound}
 */
export async function updateWebhook(tx: Tx, id: number, patch: WebhookPatch) {
  // Tasks are locked before webhooks, as a delivery does it: otherwise the two could wait for each other.
  if (patch.enabled === false) await cancelByKey(tx, DELIVER, String(id));
  else if (patch.enabled === true || patch.url !== undefined) await hastenByKey(tx, DELIVER, String(id));
  const { url, types, description, enabled } = patch;
  const now = new Date();
  const parts: [string, unknown[]][] = [['updated_at = ?', [now]]];
  if (url !== undefined) parts.push(['url = ?', [url]]);
  if (types !== undefined) parts.push(['types = ?', [jsonOrNull(types)]]);
  if (description !== undefined) parts.push(['description = ?', [description]]);
  if (enabled === true) parts.push([ENABLE, []]);
  if (enabled === false) parts.push([DISABLE, [now, 'It was disabled by a request.']]);
  if (url !== undefined || enabled === true) parts.push([ANEW, []]);
  else if (types !== undefined) parts.push([DROP_ROUND, []]); // it passes by what only the new ones let through
  const set = parts.map(([one]) => one).join(', ');
  const values = parts.flatMap(([, some]) => some);
  const row = await update(tx, id, set, values);
  tx.ring(WEBHOOKS);
  return webhookView(row);
}

/** The first reason stays. */
export const DISABLE =
  'disabled_at = coalesce(disabled_at, ?), disabled_reason = coalesce(disabled_reason, ?)';
/** What comes of a round that is on its way does not count. */
const DROP_ROUND = 'epoch = epoch + 1';
/**
 * Nor is anything waited for any more. A delivery that is just about to wait for a failure is woken by the courier: all is
 * to be tried that comes after position 0.
 */
const ANEW = `retry_at = null, tried_up_to = 0, ${DROP_ROUND}`;
const ENABLE = `disabled_at = null, disabled_reason = null, failures = 0, failing_since = null, last_error = null`;

/** @throws {NotFound} */
export async function deleteWebhook(tx: Tx, id: number): Promise<void> {
  await requireWebhook(tx, id);
  await cancelByKey(tx, DELIVER, String(id));
  tx.changed();
  await tx.execute('delete from webhooks where id = ?', [id]);
  await tx.execute('delete from webhook_deliveries where webhook_id = ?', [id]);
}

/**
 * A new secret. The one before signs beside it for a day.
 * @throws {NotFound}
 */
export async function rotateSecret(tx: Tx, id: number) {
  const row = await update(tx, id, 'updated_at = ?', [new Date()]);
  const secret = newSecret();
  const before = readJson(row.old_secrets) as OldSecret[];
  const all = [{ secret: row.secret, until: Date.now() + OVERLAP_MS }, ...before];
  const kept = all.filter(({ until }) => until > Date.now()).slice(0, MOST_OLD_SECRETS);
  const rotated = await tx.execute(
    'update webhooks set secret = ?, old_secrets = ? where id = ? and secret = ? returning id',
    [secret, JSON.stringify(kept), id, row.secret],
  );
  // Another work of this transaction has read the same secret, and has replaced it.
  if (rotated.length === 0) return rotateSecret(tx, id);
  return { ...webhookView(row), secret };
}

/**
 * Sets a webhook to another position of the log, whatever it has acknowledged, and enables it.
 * @throws {NotFound}
 */
export async function moveWebhook(tx: Tx, id: number, position: number): Promise<void> {
  await hastenByKey(tx, DELIVER, String(id));
  await update(tx, id, `${ENABLE}, ${ANEW}, position = ?, acknowledged = '[]', updated_at = ?`, [
    position,
    new Date(),
  ]);
  tx.ring(WEBHOOKS); // a delivery that is just ending does not see it
}

/** @throws {NotFound} */
export async function requireWebhook(tx: Tx, id: number): Promise<void> {
  const found = id > MAX_ID ? [] : await tx.execute('select 1 from webhooks where id = ?', [id]);
  if (found.length === 0) throw webhookNotFound(id);
}

/** @throws {NotFound} */
async function update(tx: Tx, id: number, set: string, values: readonly unknown[]): Promise<WebhookRow> {
  const sql = `update webhooks set ${set} where id = ? returning ${COLUMNS}`;
  const [row] = id > MAX_ID ? [] : await tx.execute<WebhookRow>(sql, [...values, id]);
  if (row === undefined) throw webhookNotFound(id);
  tx.changed();
  return row;
}

function jsonOrNull(value: unknown): string | null {
  return value == null ? null : JSON.stringify(value);
}

/** A webhook as it is shown: without its secret. */
function webhookView(row: WebhookRow) {
  return {
    id: row.id,
    url: row.url,
    ...(row.types !== null && { types: readJson(row.types) as ChangeType[] }),
    ...(row.description !== null && { description: row.description }),
    enabled: row.disabled_at === null,
    position: Number(row.position),
    ...(row.failing_since !== null && { failingSince: toDate(row.failing_since) }),
    ...(row.last_error !== null && { lastError: row.last_error }),
    ...(row.retry_at !== null && row.disabled_at === null && { retryAt: toDate(row.retry_at) }),
    ...(row.disabled_at !== null && { disabledAt: toDate(row.disabled_at) }),
    ...(row.disabled_reason !== null && { disabledReason: row.disabled_reason }),
    createdAt: toDate(row.created_at),
    updatedAt: toDate(row.updated_at),
  };
}

export function webhookNotFound(id: number): NotFound {
  return new NotFound('webhook-not-found', `There is no webhook ${id}.`);
}
