import { defineEntity, p } from '@mikro-orm/core';
import type { ChangeType } from '../changes/change.entity.ts';

/** A secret that was replaced, and until when it signs beside its successor: milliseconds since 1970. */
export interface OldSecret {
  secret: string;
  until: number;
}

/**
 * A URL that wants changes pushed to it. All changes up to `position` have been acknowledged or were none of its
 * `types`, and of those after it `acknowledged` have: they overtook a change of another user that has failed. `epoch` is
 * raised when the position or the types are set from outside: what is still to be written about the time before is dropped.
 */
const WebhookSchema = defineEntity({
  name: 'Webhook',
  tableName: 'webhooks',
  properties: {
    id: p.integer().primary(),
    url: p.text(),
    types: p.json<ChangeType[]>().columnType('json').nullable(),
    description: p.text().nullable(),
    secret: p.text(),
    oldSecrets: p.json<OldSecret[]>().columnType('json'),
    position: p.bigint('number').ignoreSchemaChanges('type'),
    acknowledged: p.json<number[]>().columnType('json'),
    epoch: p.integer(),
    /** Rounds that have failed in a row. */
    failures: p.integer(),
    failingSince: p.datetime(3).nullable(),
    lastError: p.text().nullable(),
    retryAt: p.datetime(3).nullable(),
    /** Up to here all that could be tried was, and what has failed is held until `retryAt`; null when nothing else is to be tried before. */
    triedUpTo: p.bigint('number').ignoreSchemaChanges('type').nullable(),
    disabledAt: p.datetime(3).nullable(),
    disabledReason: p.text().nullable(),
    createdAt: p.datetime(3),
    updatedAt: p.datetime(3),
  },
});

export class Webhook extends WebhookSchema.class {}
WebhookSchema.setClass(Webhook);

/** One attempt to send one message. A test has no position. Nothing of the answer is kept but its status. */
const DeliverySchema = defineEntity({
  name: 'Delivery',
  tableName: 'webhook_deliveries',
  indexes: [{ name: 'webhook_deliveries_webhook_id', properties: ['webhookId', 'id'] }],
  properties: {
    id: p.bigint('number').primary().ignoreSchemaChanges('type'),
    webhookId: p.integer(),
    messageId: p.text(),
    position: p.bigint('number').ignoreSchemaChanges('type').nullable(),
    type: p.text(),
    attemptedAt: p.datetime(3),
    status: p.integer().nullable(),
    ms: p.integer(),
    error: p.text().nullable(),
  },
});

export class Delivery extends DeliverySchema.class {}
DeliverySchema.setClass(Delivery);
