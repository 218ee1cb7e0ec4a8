import { setTimeout as wait } from 'node:timers/promises';
import type { FastifyInstance } from 'fastify';
import type { Tx } from '../../src/db/tx.ts';
import type { TestApp } from './app.ts';

export interface Webhook {
  id: number;
  url: string;
  secret: string;
  enabled: boolean;
  position: number;
  failingSince?: string;
  lastError?: string;
  retryAt?: string;
  disabledAt?: string;
  disabledReason?: string;
}

export interface Delivery {
  id: number;
  messageId: string;
  position?: number;
  type: string;
  status?: number;
  ms: number;
  error?: string;
}

export async function makeWebhook({ request }: TestApp, url: string, more: object = {}): Promise<Webhook> {
  const made = await request('POST', '/webhooks', { json: { url, ...more } });
  if (made.status !== 201) throw new Error(made.text);
  return made.json<Webhook & Record<string, unknown>>();
}

/** Creates a user, and renames them so many times: 1 + `renames` changes. */
export async function addUser({ request }: TestApp, name: string, renames = 0): Promise<number> {
  const json = { name, email: `${name.replaceAll(' ', '.')}@example.com` };
  const made = await request('POST', '/users', { json });
  if (made.status !== 201) throw new Error(made.text);
  const { id } = made.json<{ id: number }>();
  for (let n = 1; n <= renames; n++) {
    const renamed = await request('PATCH', `/users/${id}`, { json: { name: `${name} ${n}` } });
    if (renamed.status !== 200) throw new Error(renamed.text);
  }
  return id;
}

export async function findWebhook({ request }: TestApp, id: number): Promise<Webhook> {
  return (await request('GET', `/webhooks/${id}`)).json<Webhook & Record<string, unknown>>();
}

/** The webhook when it is as `wanted` says. Whatever becomes of it, a task has changed. */
export async function webhookWhen(
  muster: TestApp,
  id: number,
  wanted: (webhook: Webhook) => boolean,
): Promise<Webhook> {
  for (;;) {
    const changed = muster.app.tasks.watch.next();
    const webhook = await findWebhook(muster, id);
    if (wanted(webhook)) return webhook;
    await changed;
  }
}

export async function deliveriesOf({ request }: TestApp, id: number): Promise<Delivery[]> {
  return (await request('GET', `/webhooks/${id}/deliveries?limit=1000`)).json<Delivery[]>();
}

/** Lets all that waits for its next attempt be tried now, as if the time had passed. */
export function letTimePass(app: FastifyInstance): Promise<void> {
  return tryAgainAt(app, new Date());
}

/** Sets when all that waits for its next attempt is tried, once something does: what still runs would set it anew. */
export async function tryAgainAt(app: FastifyInstance, at: Date): Promise<void> {
  const trySetting = async (tx: Tx) => {
    tx.changed();
    const set = `update tasks set run_at = ? where state = 'scheduled' and kind = 'deliver' returning id`;
    const waiting = await tx.execute(set, [at]);
    if (waiting.length === 0) return false;
    await tx.execute('update webhooks set retry_at = ? where retry_at is not null', [at]);
    tx.ring('tasks.scheduled');
    return true;
  };
  while (!(await app.write(trySetting))) await wait(10);
}
