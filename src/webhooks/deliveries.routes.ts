import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { positionGone, requireKept } from '../changes/log.ts';
import type { Tx } from '../db/tx.ts';
import { needs } from '../http/access.ts';
import { TAGS } from '../http/openapi.ts';
import { badCursor, linkHeader, linkNext, readCursor, writeCursor } from '../http/paging.ts';
import { invalidBody, invalidJson, invalidParameter, problems } from '../http/problems.ts';
import { locationHeader, ref } from '../http/schemas.ts';
import { Task, TaskError, TaskProgress } from '../tasks/tasks.schemas.ts';
import type { TaskView } from '../tasks/view.ts';
import { listDeliveries } from './deliveries.ts';
import { DELIVER, TEST } from './topics.ts';
import { refusedId, WebhookParams } from './webhooks.routes.ts';
import { Delivery, ListDeliveriesQuery, Replay } from './webhooks.schemas.ts';
import { findWebhook, moveWebhook, requireWebhook } from './webhooks.ts';

/** What is sent to webhooks: looking at it, trying it, and going back. */
const deliveries: FastifyPluginAsyncTypebox = async (app) => {
  for (const schema of [Delivery, Replay, Task, TaskError, TaskProgress]) app.addSchema(schema);

  const accepted = {
    202: {
      ...ref(Task),
      description: 'The task that sends',
      headers: locationHeader('/tasks/1'),
    },
  };
  const start = async (
    reply: { code(status: number): { header(name: string, value: string): unknown } },
    work: (tx: Tx) => Promise<TaskView>,
  ) => {
    const task = await app.write(work);
    reply.code(202).header('location', `/tasks/${task.id}`);
    return task as never;
  };

  app.get(
    '/webhooks/:id/deliveries',
    {
      schema: {
        operationId: 'listDeliveries',
        summary: 'List the last attempts to send to a webhook',
        description:
          'Newest first; the last 1,000 are kept. What the receiver answered is not, beyond its status.',
        tags: [TAGS.webhooks.name],
        security: needs('webhooks'),
        params: WebhookParams,
        querystring: ListDeliveriesQuery,
        response: {
          200: { type: 'array', items: ref(Delivery), description: 'One page', headers: linkHeader },
          ...problems(
            ...refusedId,
            invalidParameter('query', '#/limit', 'must be <= 1000'),
            badCursor('belongs to a list with another sort or filter'),
          ),
        },
      },
    },
    async (request, reply) => {
      const { id } = request.params;
      const { limit, after } = request.query;
      const list = ['deliveries', id];
      const [before] = after === undefined ? [Number.MAX_SAFE_INTEGER] : readCursor(list, after, [0]);
      await findWebhook(app.reader, id);
      const rows = await listDeliveries(app.reader, id, limit + 1, before ?? 0);
      const last = rows[limit - 1];
      if (rows.length > limit && last !== undefined) linkNext(request, reply, writeCursor(list, [last.id]));
      return rows.slice(0, limit) as never;
    },
  );

  app.post(
    '/webhooks/:id/test',
    {
      schema: {
        operationId: 'testWebhook',
        summary: 'Send a webhook a test message',
        description:
          'Once, of the type `webhook.test`, and also to a webhook that is disabled. The task ends with what the ' +
          'receiver answered.',
        tags: [TAGS.webhooks.name],
        security: needs('webhooks'),
        params: WebhookParams,
        response: { ...accepted, ...problems(...refusedId, 413) },
      },
    },
    (request, reply) => {
      const { id } = request.params;
      return start(reply, async (tx) => {
        await requireWebhook(tx, id);
        return app.tasks.enqueue(tx, TEST, { webhookId: id });
      });
    },
  );

  app.post(
    '/webhooks/:id/replay',
    {
      schema: {
        operationId: 'replayWebhook',
        summary: 'Send a webhook the changes after a position again',
        description:
          'Each with the `webhook-id` that it had. A later position than the webhook’s own skips what is between. A ' +
          'webhook that is disabled is enabled.',
        tags: [TAGS.webhooks.name],
        security: needs('webhooks'),
        params: WebhookParams,
        body: ref(Replay),
        response: {
          ...accepted,
          ...problems(
            invalidJson(),
            ...refusedId,
            positionGone({ keptAfter: 1000, head: 2000 }),
            413,
            invalidBody('#/after', 'must be integer'),
          ),
        },
      },
    },
    async (request, reply) => {
      const { id } = request.params;
      const { after } = request.body;
      await requireKept(app.reader, after);
      return start(reply, async (tx) => {
        await moveWebhook(tx, id, after);
        return app.tasks.enqueue(tx, DELIVER, { webhookId: id }, { dedupeKey: String(id) });
      });
    },
  );
};

export default deliveries;
