import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { Change } from '../changes/changes.schemas.ts';
import { readHistory } from '../changes/history.ts';
import { changeJson } from '../changes/log.ts';
import { needs } from '../http/access.ts';
import { sendJson } from '../http/json.ts';
import { TAGS } from '../http/openapi.ts';
import { badCursor, limitSchema, linkHeader, linkNext, readCursor, writeCursor } from '../http/paging.ts';
import { problems, refusedId } from '../http/problems.ts';
import { idParams, ref } from '../http/schemas.ts';
import { ListUsersQuery, UserId } from './users.schemas.ts';
import { userNotFound } from './users.ts';

const listUserHistorySchema = {
  operationId: 'listUserHistory',
  summary: 'Read all that happened to a user',
  description:
    'Newest first; also when the user has been deleted. Follow the `Link` header until there is none.',
  tags: [TAGS.users.name],
  security: needs('users:read'),
  params: idParams(UserId),
  querystring: {
    type: 'object',
    required: ['limit'],
    properties: {
      limit: limitSchema('the most changes on a page, 1–1000'),
      after: {
        ...ListUsersQuery.properties.after,
        description: 'the cursor of the page before, from its `Link` header',
      },
    },
    additionalProperties: false,
  },
  response: {
    200: { type: 'array', items: ref(Change), description: 'One page', headers: linkHeader },
    ...problems(...refusedId(userNotFound(1)), badCursor('belongs to a list with another sort or filter')),
  },
} as const;

const history: FastifyPluginAsyncTypebox = async (app) => {
  app.get('/users/:id/history', { schema: listUserHistorySchema }, async (request, reply) => {
    const { id } = request.params;
    const { limit, after } = request.query;
    const list = ['history', id];
    const [before] = after === undefined ? [] : readCursor(list, after, [0]);
    const rows = await readHistory(app.reader, id, limit + 1, before);
    if (rows.length === 0 && before === undefined) await app.getUser(id); // a 404 unless their changes were pruned
    const page = rows.slice(0, limit);
    const last = page.at(-1);
    if (rows.length > limit && last !== undefined)
      linkNext(request, reply, writeCursor(list, [last.version]));
    return sendJson(reply, `[${page.map(changeJson).join(',')}]`);
  });
};

export default history;
