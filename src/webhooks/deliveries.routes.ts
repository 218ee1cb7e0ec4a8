import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { positionGone, requireKept } from '../changes/log.ts';
import { needs } from '../http/access.ts';
import { TAGS } from '../http/openapi.ts';
import { badCursor, linkHeader, linkNext, readCursor, writeCursor } from '../http/paging.ts';
import { invalidBody, invalidJson, invalidParameter, problems, refusedId } from '../http/problems.ts';
import { idParams, locationHeader, ref } from '../http/schemas.ts';
import { Task, TaskError, TaskProgress } from '../tasks/tasks.schemas.ts';
import { listDeliveries } from './deliveries.ts';
import { DELIVER, TEST } from './topics.ts';
import { Delivery, ListDeliveriesQuery, Replay, WebhookId } from './webhooks.schemas.ts';
import { findWebhook, moveWebhook, requireWebhook, webhookNotFound } from './webhooks.ts';

const refusedWebhook = refusedId(webhookNotFound(1));
const accepted = {
  202: { ...ref(Task), description: 'The task that sends', headers: locationHeader('/tasks/1') },
};

const listDeliveriesSchema = {
  operationId: 'listDeliveries',
  summary: 'List the last attempts to send to a webhook',
  description: 'Newest first; the last 1,000 are kept. What the receiver answered is not, beyond its status.',
  tags: [TAGS.webhooks.name],
  security: needs('webhooks'),
  params: idParams(WebhookId),
  querystring: ListDeliveriesQuery,
  response: {
    200: { type: 'array', items: ref(Delivery), description: 'One page', headers: linkHeader },
    ...problems(
      ...refusedWebhook,
      invalidParameter('query', '#/limit', 'must be <= 1000'),
      badCursor('belongs to a list with another sort or filter'),
    ),
  },
} as const;

const testWebhookSchema = {
  operationId: 'testWebhook',
  summary: 'Send a webhook a test message',
  description:
    'Once, of the type `webhook.test`, and also to a webhook that is disabled. The task ends with what the ' +
    'receiver answered.',
  tags: [TAGS.webhooks.name],
  security: needs('webhooks'),
  params: idParams(WebhookId),
  response: { ...accepted, ...problems(...refusedWebhook, 413) },
} as const;

const replayWebhookSchema = {
  operationId: 'replayWebhook',
  summary: 'Send a webhook the changes after a position again',
  description:
    'Each with the `webhook-id` that it had. A later position than the webhook’s own skips what is between. A ' +
    'webhook that is disabled is enabled.',
  tags: [TAGS.webhooks.name],
  security: needs('webhooks'),
  params: idParams(WebhookId),
  body: ref(Replay),
  response: {
    ...accepted,
    ...problems(
      invalidJson(),
      ...refusedWebhook,
      positionGone({ keptAfter: 1000, head: 2000 }),
      413,
      invalidBody('#/after', 'must be integer'),
    ),
  },
} as const;

/** What is sent to webhooks: looking at it, trying it, and going back. */
const deliveries: FastifyPluginAsyncTypebox = async (app) => {
  for (const schema of [Delivery, Replay, Task, TaskError, TaskProgress]) app.addSchema(schema);

  app.get('/webhooks/:id/deliveries', { schema: listDeliveriesSchema }, async (request, reply) => {
    const { id } = request.params;
    const { limit, after } = request.query;
    const list = ['deliveries', id];
    const [before] = after === undefined ? [Number.MAX_SAFE_INTEGER] : readCursor(list, after, [0]);
    await findWebhook(app.reader, id);
    const rows = await listDeliveries(app.reader, id, limit + 1, before ?? 0);
    const last = rows[limit - 1];
    if (rows.length > limit && last !== undefined) linkNext(request, reply, writeCursor(list, [last.id]));
    return rows.slice(0, limit);
  });

  app.post('/webhooks/:id/test', { schema: testWebhookSchema }, async (request, reply) => {
    const { id } = request.params;
    const task = await app.write(async (tx) => {
      await requireWebhook(tx, id);
      return app.tasks.enqueue(tx, TEST, { webhookId: id }, { actor: request.access.actor });
    });
    return reply.code(202).header('location', `/tasks/${task.id}`).send(task);
  });

  app.post('/webhooks/:id/replay', { schema: replayWebhookSchema }, async (request, reply) => {
    const { id } = request.params;
    const { after } = request.body;
    await requireKept(app.reader, after);
    const task = await app.write(async (tx) => {
      await moveWebhook(tx, id, after);
      return app.tasks.enqueue(tx, DELIVER, { webhookId: id }, { dedupeKey: String(id) });
    });
    return reply.code(202).header('location', `/tasks/${task.id}`).send(task);
  });
};

export default deliveries;
