import type { Static } from 'typebox';
import { CHANGE_TYPES } from '../changes/change.entity.ts';
import { Position } from '../changes/changes.schemas.ts';
import { limitSchema } from '../http/paging.ts';
import { idSchema, textSchema, timeSchema } from '../http/schemas.ts';

const dateTime = (description: string) => timeSchema(`${description}: RFC 3339, UTC, to the millisecond`);

export const WebhookId = idSchema('the number of a webhook', 1);

const Url = {
  type: 'string',
  pattern: '^https?://[^\\s#]+$',
  maxLength: 2000,
  description:
    'where messages are sent: http or https, without a user and a fragment, and to a public address ' +
    '(see `WEBHOOK_ALLOWED_NETWORKS`)',
  examples: ['https://example.com/muster'],
} as const;

const Types = {
  type: 'array',
  items: { type: 'string', enum: CHANGE_TYPES },
  minItems: 1,
  uniqueItems: true,
  description: 'only changes of these types; all when it is not there',
  examples: [['user.created', 'user.deleted']],
} as const;

const Description = {
  type: 'string',
  maxLength: 200,
  description: 'what it is for',
  examples: ['the mailing list'],
} as const;

const orNull = <T extends { description: string }>(schema: T) => ({
  anyOf: [schema, { type: 'null' } as const] as const,
  description: `${schema.description}; null takes it away`,
});

const example = {
  id: 1,
  url: 'https://example.com/muster',
  types: ['user.created', 'user.deleted'],
  description: 'the mailing list',
  enabled: true,
  position: 42,
  createdAt: '2026-01-15T09:30:00.000Z',
  updatedAt: '2026-01-15T09:30:00.000Z',
};
const exampleSecret = 'whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oDazfYrxYGGLI=';

const required = ['id', 'url', 'enabled', 'position', 'createdAt', 'updatedAt'] as const;
const properties = {
  id: WebhookId,
  url: Url,
  types: Types,
  description: Description,
  enabled: { type: 'boolean', description: 'whether messages are sent', examples: [true] },
  position: {
    ...Position,
    description:
      'all changes up to this position of the log have been acknowledged, or are of none of its types',
  },
  failingSince: dateTime('since when something that it was sent has not been acknowledged'),
  lastError: textSchema('what was wrong at the last attempt, while it fails', 'The receiver answered 500.'),
  retryAt: dateTime('when what has failed is tried again'),
  disabledAt: dateTime('when it was disabled'),
  disabledReason: textSchema('why it was disabled', 'The receiver answered 410 Gone.'),
  createdAt: dateTime('when it was made'),
  updatedAt: dateTime('when it was last changed by a request'),
} as const;

export const Webhook = {
  type: 'object',
  required,
  properties,
  $id: 'Webhook',
  additionalProperties: false,
  description: 'A URL that changes are pushed to. Its secret is never shown again.',
  examples: [example],
} as const;

export const WebhookWithSecret = {
  type: 'object',
  required: [...required, 'secret'],
  properties: {
    ...properties,
    secret: {
      type: 'string',
      pattern: '^whsec_[A-Za-z0-9+/]{43}=$',
      description: 'what the receiver verifies signatures with (Standard Webhooks); shown this once',
      examples: [exampleSecret],
    },
  },
  $id: 'WebhookWithSecret',
  additionalProperties: false,
  description: 'A webhook with its secret.',
  examples: [{ ...example, secret: exampleSecret }],
} as const;

export const NewWebhook = {
  type: 'object',
  required: ['url'],
  properties: { url: Url, types: Types, description: Description },
  $id: 'NewWebhook',
  additionalProperties: false,
  description: 'A webhook to be made.',
  examples: [{ url: example.url, types: example.types, description: example.description }],
} as const;
export type NewWebhook = Static<typeof NewWebhook>;

export const WebhookPatch = {
  type: 'object',
  properties: {
    url: Url,
    types: orNull(Types),
    description: orNull(Description),
    enabled: properties.enabled,
  },
  $id: 'WebhookPatch',
  additionalProperties: false,
  description: 'A merge patch (RFC 7396) of a webhook.',
  examples: [{ enabled: true }],
} as const;
/** What is not named stays; null takes it away. */
export type WebhookPatch = Static<typeof WebhookPatch>;

export const Replay = {
  type: 'object',
  required: ['after'],
  properties: {
    after: {
      ...Position,
      description: 'the changes after this position are sent, whether or not they were before',
    },
  },
  $id: 'Replay',
  additionalProperties: false,
  description: 'From where a webhook goes on.',
  examples: [{ after: 42 }],
} as const;

export const Delivery = {
  type: 'object',
  required: ['id', 'messageId', 'type', 'attemptedAt', 'ms'],
  properties: {
    id: { type: 'integer', minimum: 1, description: 'the number of the attempt', examples: [7] },
    messageId: textSchema('the `webhook-id` of the message: the same at every attempt', 'msg_1_42'),
    position: { ...Position, description: 'of the change in the log; a test has none' },
    type: textSchema('of the message', 'user.updated'),
    attemptedAt: dateTime('when it was sent'),
    status: {
      type: 'integer',
      description: 'what the receiver answered; absent when it did not',
      examples: [204],
    },
    ms: { type: 'integer', minimum: 0, description: 'how long that took, in milliseconds', examples: [31] },
    error: textSchema(
      'why it counts as failed; absent when it was acknowledged',
      'The receiver answered 500.',
    ),
  },
  $id: 'Delivery',
  additionalProperties: false,
  description: 'One attempt to send one message.',
  examples: [
    {
      id: 7,
      messageId: 'msg_1_42',
      position: 42,
      type: 'user.updated',
      attemptedAt: '2026-01-15T09:30:00.000Z',
      status: 204,
      ms: 31,
    },
  ],
} as const;

export const ListDeliveriesQuery = {
  type: 'object',
  required: ['limit'], // it has a default
  properties: {
    limit: limitSchema('the most attempts on a page, 1–1000'),
    after: {
      type: 'string',
      maxLength: 200,
      description: 'the cursor of the next page, as a `Link` header gives it',
      examples: ['WyJudmdoRkZybSIsMl0'],
    },
  },
  additionalProperties: false,
} as const;
