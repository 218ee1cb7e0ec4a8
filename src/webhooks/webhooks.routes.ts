import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { needs } from '../http/access.ts';
import { PATCH_TYPES, readMergePatches } from '../http/edge.ts';
import { createOnce, IdempotencyHeaders, idempotencyHeader, refusedCreate } from '../http/idempotency.ts';
import { TAGS } from '../http/openapi.ts';
import { invalidBody, problems, refusedId, refusedPatch } from '../http/problems.ts';
import { idParams, locationHeader, ref } from '../http/schemas.ts';
import { type Networks, notPublic } from './networks.ts';
import { NewWebhook, Webhook, WebhookId, WebhookPatch, WebhookWithSecret } from './webhooks.schemas.ts';
import {
  createWebhook,
  deleteWebhook,
  findWebhook,
  listWebhooks,
  rotateSecret,
  updateWebhook,
  webhookNotFound,
} from './webhooks.ts';

const refusedWebhook = refusedId(webhookNotFound(1));
const refusedUrl = invalidBody('#/url', notPublic('127.0.0.1').message);

const createWebhookSchema = {
  operationId: 'createWebhook',
  summary: 'Have changes pushed to a URL',
  description:
    'It follows the log from now on; `replay` goes back. The secret is shown in this answer only. With an ' +
    '`Idempotency-Key` the answer is kept for a repetition, the secret with it, for as long as such answers are kept ' +
    '(seven days, unless it is set otherwise). How to receive: docs/webhooks.md.',
  tags: [TAGS.webhooks.name],
  security: needs('webhooks'),
  headers: IdempotencyHeaders,
  body: ref(NewWebhook),
  response: {
    201: {
      ...ref(WebhookWithSecret),
      description: 'The webhook as made',
      headers: { ...locationHeader('/webhooks/1'), ...idempotencyHeader },
    },
    ...problems(...refusedCreate(), refusedUrl),
  },
} as const;

const listWebhooksSchema = {
  operationId: 'listWebhooks',
  summary: 'List the webhooks',
  description: 'All of them, oldest first.',
  tags: [TAGS.webhooks.name],
  security: needs('webhooks'),
  response: {
    200: { type: 'array', items: ref(Webhook), description: 'The webhooks' },
    ...problems(),
  },
} as const;

const getWebhookSchema = {
  operationId: 'getWebhook',
  summary: 'Look at a webhook',
  description: 'How far it is, whether it fails and why, and whether it was disabled.',
  tags: [TAGS.webhooks.name],
  security: needs('webhooks'),
  params: idParams(WebhookId),
  response: { 200: { ...ref(Webhook), description: 'The webhook' }, ...problems(...refusedWebhook) },
} as const;

const updateWebhookSchema = {
  operationId: 'updateWebhook',
  summary: 'Change a webhook by a merge patch, disable it or enable it',
  description:
    'One that is enabled goes on where it was. With another URL, or enabled, what is waiting is tried at once. ' +
    'One that was disabled because its position is not kept any more needs a `replay`.',
  tags: [TAGS.webhooks.name],
  security: needs('webhooks'),
  consumes: PATCH_TYPES,
  params: idParams(WebhookId),
  body: ref(WebhookPatch),
  response: {
    200: { ...ref(Webhook), description: 'The webhook as it is now' },
    ...problems(
      ...refusedPatch(),
      ...refusedWebhook,
      refusedUrl,
      invalidBody('#/position', 'is not known here'),
    ),
  },
} as const;

const deleteWebhookSchema = {
  operationId: 'deleteWebhook',
  summary: 'Delete a webhook',
  description: 'Nothing more is sent, and its deliveries are forgotten.',
  tags: [TAGS.webhooks.name],
  security: needs('webhooks'),
  params: idParams(WebhookId),
  response: {
    204: { type: 'null', description: 'It is gone; no body' },
    ...problems(...refusedWebhook, 413),
  },
} as const;

const rotateSecretSchema = {
  operationId: 'rotateWebhookSecret',
  summary: 'Give a webhook a new secret',
  description:
    'The new secret is shown in this answer only. For 24 hours the old one signs as well: each message carries a ' +
    'signature of both.',
  tags: [TAGS.webhooks.name],
  security: needs('webhooks'),
  params: idParams(WebhookId),
  response: {
    200: { ...ref(WebhookWithSecret), description: 'The webhook with its new secret' },
    ...problems(...refusedWebhook, 413),
  },
} as const;

const webhooks: FastifyPluginAsyncTypebox<{ networks: Networks }> = async (app, options) => {
  for (const schema of [Webhook, WebhookWithSecret, NewWebhook, WebhookPatch]) app.addSchema(schema);

  app.post('/webhooks', { schema: createWebhookSchema }, async (request, reply) => {
    checkUrl(request.body.url, options.networks);
    // Before the webhook is there: what is committed meanwhile is sent.
    const position = await app.position();
    return createOnce(request, reply, async (tx) => {
      const webhook = await createWebhook(tx, request.body, position);
      return { status: 201, headers: { location: `/webhooks/${webhook.id}` }, body: webhook };
    });
  });

  app.get('/webhooks', { schema: listWebhooksSchema }, () => listWebhooks(app.reader));

  app.get('/webhooks/:id', { schema: getWebhookSchema }, ({ params }) => findWebhook(app.reader, params.id));

  await app.register(patchWebhook, options);

  app.delete('/webhooks/:id', { schema: deleteWebhookSchema }, async (request, reply) => {
    await app.write((tx) => deleteWebhook(tx, request.params.id));
    return reply.code(204).send(null);
  });

  app.post('/webhooks/:id/rotate-secret', { schema: rotateSecretSchema }, ({ params }) =>
    app.write((tx) => rotateSecret(tx, params.id)),
  );
};

/** In a scope of its own: no other route reads merge patches. */
const patchWebhook: typeof webhooks = async (app, { networks }) => {
  readMergePatches(app);
  app.patch('/webhooks/:id', { schema: updateWebhookSchema }, async ({ body, params }) => {
    if (body.url !== undefined) checkUrl(body.url, networks);
    return app.write((tx) => updateWebhook(tx, params.id, body));
  });
};

/**
 * Refuses what can never be sent to. The URL parser (WHATWG) writes an IPv4 address in one way however it is spelled,
 * `0x7f.1` and `2130706433` too. Where a name leads is seen when connecting, and only then.
 * @throws {Invalid}
 */
function checkUrl(url: string, networks: Networks): void {
  if (!URL.canParse(url)) throw invalidBody('#/url', 'is no URL');
  const { username, password, hostname } = new URL(url);
  if (username !== '' || password !== '')
    throw invalidBody('#/url', 'must hold neither a user nor a password');
  const refusal = networks.refusalOf(hostname);
  if (refusal !== undefined) throw invalidBody('#/url', refusal.message);
}

export default webhooks;
