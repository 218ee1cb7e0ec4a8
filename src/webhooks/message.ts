import { randomBytes } from 'node:crypto';
import { type ChangeRow, changeJson } from '../changes/log.ts';
import { toRfc3339 } from '../db/dialect.ts';

/** What is sent: `{type, timestamp, data}` by the Standard Webhooks specification. */
export interface Message {
  /** The same at every attempt and after a replay: a receiver knows by it what it has had already. */
  id: string;
  /** Of the log; null for a test. */
  position: number | null;
  type: string;
  body: string;
}

/** The same bytes whenever it is made, unless the user was erased meanwhile. */
export function messageOf(webhookId: number, change: ChangeRow): Message {
  const { type, position } = change;
  return {
    id: `msg_${webhookId}_${position}`,
    position: Number(position),
    type,
    body: `{"type":"${type}","timestamp":"${toRfc3339(change.at)}","data":${changeJson(change)}}`,
  };
}

export function testMessage(webhookId: number, taskId: number, at: Date): Message {
  const type = 'webhook.test';
  const body = JSON.stringify({ type, timestamp: at.toISOString(), data: { webhookId } });
  return { id: `msg_test_${taskId}`, position: null, type, body };
}

/** As Standard Webhooks writes it: 256 bits. */
export function newSecret(): string {
  return `whsec_${randomBytes(32).toString('base64')}`;
}
