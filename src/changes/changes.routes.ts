import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { needs } from '../http/access.ts';
import { sendJson } from '../http/json.ts';
import { TAGS } from '../http/openapi.ts';
import { linkHeader, linkNext } from '../http/paging.ts';
import { invalidParameter, problems } from '../http/problems.ts';
import { ref } from '../http/schemas.ts';
import { EVENT_STREAM, openEvents, sendEventsHead, wantsEvents } from '../http/sse.ts';
import { CHANGE_TYPES, type ChangeType } from './change.entity.ts';
import { Change, ChangeEvents, FollowHeaders, ListChangesQuery, positionHeader } from './changes.schemas.ts';
import { epochGone } from './epoch.ts';
import { changeJson, positionGone, readChanges, requireKept } from './log.ts';

const changes: FastifyPluginAsyncTypebox = async (app) => {
  for (const schema of [Change, ChangeEvents]) app.addSchema(schema);

  app.get(
    '/changes',
    {
      schema: {
        operationId: 'listChanges',
        summary: 'Read the log of changes, or follow it',
        description:
          'Oldest first. A page says in `Muster-Position` up to where it has read: ask again after it, even when the page ' +
          'was empty. With `Accept: text/event-stream` the changes arrive as they are made; `Last-Event-ID` goes on where ' +
          'a stream broke off, and nothing is missed. To begin, read `GET /users` and follow from its `Muster-Position`.',
        tags: [TAGS.changes.name],
        security: needs('changes:read'),
        querystring: ListChangesQuery,
        headers: FollowHeaders,
        response: {
          200: {
            description: 'One page, or the changes as they are made',
            headers: { ...positionHeader, ...linkHeader },
            content: {
              'application/json': { schema: { type: 'array', items: ref(Change) } },
              [EVENT_STREAM]: { schema: ref(ChangeEvents) },
            },
          },
          ...problems(
            invalidParameter('query', '#/limit', 'must be <= 1000'),
            positionGone({ keptAfter: 1000, head: 2000 }),
            epochGone(),
          ),
        },
      },
    },
    async (request, reply) => {
      const { limit } = request.query;
      const types = readTypes(request.query.types);
      if (wantsEvents(reply)) {
        const last = request.headers['last-event-id'];
        const from = last === undefined ? request.query.after : Number(last);
        const { epoch } = request.query;
        const extent = await (from === undefined && epoch === undefined
          ? app.logExtent()
          : requireKept(app.reader, from, epoch));
        const position = from ?? extent.head;
        reply.header('muster-position', position).header('muster-epoch', extent.epoch);
        if (request.method === 'HEAD') return sendEventsHead(reply);
        app.feed.follow(openEvents(reply), app.whileOpen(reply), position, types);
        return reply;
      }
      const { after = 0 } = request.query;
      const { epoch } = await requireKept(app.reader, after, request.query.epoch);
      const page = await readChanges(app.reader, after, limit, types);
      reply.header('muster-position', page.upTo).header('muster-epoch', epoch);
      if (page.upTo < page.head) linkNext(request, reply, String(page.upTo));
      return sendJson(reply, `[${page.changes.map(changeJson).join(',')}]`);
    },
  );
};

/** The same types are the same text, and all of them none. */
function readTypes(text: string | undefined): readonly ChangeType[] | undefined {
  const types = CHANGE_TYPES.filter((type) => text?.split(',').includes(type));
  return text === undefined || types.length === CHANGE_TYPES.length ? undefined : types;
}

export default changes;
