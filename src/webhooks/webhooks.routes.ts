import type { FastifyPluginAsyncTypebox, TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import { needs } from '../http/access.ts';
import { readJsonBody } from '../http/edge.ts';
import { createOnce, IdempotencyHeaders, idempotencyHeader, refusedCreate } from '../http/idempotency.ts';
import { TAGS } from '../http/openapi.ts';
import { acceptPatch, invalidBody, invalidJson, invalidParameter, problems } from '../http/problems.ts';
import { locationHeader, ref } from '../http/schemas.ts';
import type { Networks } from './networks.ts';
import { notPublic } from './sender.ts';
import { badUrl, checkUrl } from './url.ts';
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

export const WebhookParams = { type: 'object', required: ['id'], properties: { id: WebhookId } } as const;

/** What a route that names one webhook may refuse. */
export const refusedId = [
  invalidParameter('path', '#/id', 'must be integer'),
  webhookNotFound(1),
  414,
] as const;

const refusedUrl = badUrl(notPublic('127.0.0.1').message);
const PATCH_TYPES = ['application/merge-patch+json', 'application/json'];

const webhooks: FastifyPluginAsyncTypebox<{ networks: Networks }> = async (app, { networks }) => {
  for (const schema of [Webhook, WebhookWithSecret, NewWebhook, WebhookPatch]) app.addSchema(schema);

  app.post(
    '/webhooks',
    {
      schema: {
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
      },
    },
    async (request, reply) => {
      checkUrl(request.body.url, networks);
      // Before the webhook is there: what is committed meanwhile is sent.
      const position = await app.position();
      return createOnce(request, reply, async (tx) => {
        const webhook = await createWebhook(tx, request.body, position);
        return { status: 201, headers: { location: `/webhooks/${webhook.id}` }, body: webhook };
      }) as never;
    },
  );

  app.get(
    '/webhooks',
    {
      schema: {
        operationId: 'listWebhooks',
        summary: 'List the webhooks',
        description: 'All of them, oldest first.',
        tags: [TAGS.webhooks.name],
        security: needs('webhooks'),
        response: {
          200: { type: 'array', items: ref(Webhook), description: 'The webhooks' },
          ...problems(),
        },
      },
    },
    async () => (await listWebhooks(app.reader)) as never,
  );

  app.get(
    '/webhooks/:id',
    {
      schema: {
        operationId: 'getWebhook',
        summary: 'Look at a webhook',
        description: 'How far it is, whether it fails and why, and whether it was disabled.',
        tags: [TAGS.webhooks.name],
        security: needs('webhooks'),
        params: WebhookParams,
        response: { 200: { ...ref(Webhook), description: 'The webhook' }, ...problems(...refusedId) },
      },
    },
    async (request) => (await findWebhook(app.reader, request.params.id)) as never,
  );

  app.delete(
    '/webhooks/:id',
    {
      schema: {
        operationId: 'deleteWebhook',
        summary: 'Delete a webhook',
        description: 'Nothing more is sent, and its deliveries are forgotten.',
        tags: [TAGS.webhooks.name],
        security: needs('webhooks'),
        params: WebhookParams,
        response: {
          204: { type: 'null', description: 'It is gone; no body' },
          ...problems(...refusedId, 413),
        },
      },
    },
    async (request, reply) => {
      await app.write((tx) => deleteWebhook(tx, request.params.id));
      return reply.code(204).send(null);
    },
  );

  app.post(
    '/webhooks/:id/rotate-secret',
    {
      schema: {
        operationId: 'rotateWebhookSecret',
        summary: 'Give a webhook a new secret',
        description:
          'The new secret is shown in this answer only. For 24 hours the old one signs as well: each message carries a ' +
          'signature of both.',
        tags: [TAGS.webhooks.name],
        security: needs('webhooks'),
        params: WebhookParams,
        response: {
          200: { ...ref(WebhookWithSecret), description: 'The webhook with its new secret' },
          ...problems(...refusedId, 413),
        },
      },
    },
    async (request) => (await app.write((tx) => rotateSecret(tx, request.params.id))) as never,
  );

  // In a scope of its own: no other route reads merge patches.
  await app.register(async (scope) => {
    scope.addContentTypeParser(PATCH_TYPES[0] ?? '', { parseAs: 'buffer' }, readJsonBody);
    scope.withTypeProvider<TypeBoxTypeProvider>().patch(
      '/webhooks/:id',
      {
        config: { accepts: PATCH_TYPES.join(', ') },
        schema: {
          operationId: 'updateWebhook',
          summary: 'Change a webhook by a merge patch, disable it or enable it',
          description:
            'One that is enabled goes on where it was. With another URL, or enabled, what is waiting is tried at once. ' +
            'One that was disabled because its position is not kept any more needs a `replay`.',
          tags: [TAGS.webhooks.name],
          security: needs('webhooks'),
          consumes: PATCH_TYPES,
          params: WebhookParams,
          body: ref(WebhookPatch),
          response: {
            200: { ...ref(Webhook), description: 'The webhook as it is now' },
            ...problems(
              acceptPatch(PATCH_TYPES.join(', ')),
              invalidJson(),
              ...refusedId,
              413,
              refusedUrl,
              invalidBody('#/position', 'is not known here'),
            ),
          },
        },
      },
      async (request) => {
        const { body, params } = request;
        if (body.url !== undefined) checkUrl(body.url, networks);
        return (await app.write((tx) => updateWebhook(tx, params.id, body))) as never;
      },
    );
  });
};

export default webhooks;
