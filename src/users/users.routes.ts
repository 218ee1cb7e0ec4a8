import type { FastifyPluginAsyncTypebox, TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import { Type } from 'typebox';
import { etagOf, isNotModified, readPreconditions } from '../http/conditional.ts';
import { readJsonBody } from '../http/edge.ts';
import { IdempotencyHeaders, idempotencyHeader, onceForKey, sendAnswer } from '../http/idempotency.ts';
import { TAGS } from '../http/openapi.ts';
import { linkHeader, linkNext } from '../http/paging.ts';
import { problems } from '../http/problem.ts';
import { ref } from '../http/schemas.ts';
import { listUsers } from './list.ts';
import { ListUsersQuery, NewUser, User, UserId, UserPatch } from './users.schemas.ts';
import { createUser, deleteUser, updateUser } from './users.ts';

const UserParams = Type.Object({ id: UserId });

const etagHeader = { ETag: { type: 'string', description: 'a strong entity tag (RFC 9110 §8.8.3)' } };

const ConditionalHeaders = Type.Object({
  'if-match': Type.Optional(
    Type.String({ description: 'only if the ETag is one of these (RFC 9110 §13.1.1)', examples: ['"1"'] }),
  ),
  'if-none-match': Type.Optional(
    Type.String({ description: 'only if the ETag is none of these (RFC 9110 §13.1.2)' }),
  ),
});

const MERGE_PATCH = 'application/merge-patch+json';

const users: FastifyPluginAsyncTypebox = async (app) => {
  for (const schema of [User, NewUser, UserPatch]) app.addSchema(schema);

  app.post(
    '/users',
    {
      schema: {
        operationId: 'createUser',
        summary: 'Create a user',
        tags: [TAGS.users.name],
        headers: IdempotencyHeaders,
        body: ref(NewUser),
        response: {
          201: {
            ...ref(User),
            description: 'The user as created',
            headers: {
              Location: { type: 'string', description: 'where the user is' },
              ...etagHeader,
              ...idempotencyHeader,
            },
          },
          ...problems(409, 413, 415, 422),
        },
      },
    },
    async (request, reply) => {
      const answer = await app.write((tx) =>
        onceForKey(tx, request, async () => {
          const user = await createUser(tx, request.body);
          return { status: 201, headers: { location: `/users/${user.id}`, etag: etagOf(user) }, body: user };
        }),
      );
      return sendAnswer(reply, answer);
    },
  );

  app.get(
    '/users',
    {
      schema: {
        operationId: 'listUsers',
        summary: 'List users, page by page',
        tags: [TAGS.users.name],
        querystring: ListUsersQuery,
        response: {
          200: { type: 'array', items: ref(User), description: 'One page', headers: linkHeader },
          ...problems(),
        },
      },
    },
    async (request, reply) => {
      const { users, next } = await listUsers(request.em, request.query);
      if (next !== undefined) linkNext(request, reply, next);
      return users;
    },
  );

  app.get(
    '/users/:id',
    {
      schema: {
        operationId: 'getUser',
        summary: 'Look up a user',
        tags: [TAGS.users.name],
        params: UserParams,
        headers: ConditionalHeaders,
        response: {
          200: { ...ref(User), description: 'The user', headers: etagHeader },
          304: {
            type: 'null',
            description: 'Not modified since the ETag in If-None-Match',
            headers: etagHeader,
          },
          ...problems(404, 412),
        },
      },
    },
    async (request, reply) => {
      const user = await app.getUser(request.params.id);
      const etag = etagOf(user);
      reply.header('etag', etag);
      if (isNotModified(readPreconditions(request), etag)) return reply.code(304).send(undefined as never);
      return user;
    },
  );

  app.delete(
    '/users/:id',
    {
      schema: {
        operationId: 'deleteUser',
        summary: 'Delete a user',
        tags: [TAGS.users.name],
        params: UserParams,
        headers: ConditionalHeaders,
        response: { 204: { type: 'null', description: 'The user is gone' }, ...problems(404, 412) },
      },
    },
    async (request, reply) => {
      const preconditions = readPreconditions(request);
      await app.write((tx) => deleteUser(tx, request.params.id, preconditions));
      return reply.code(204).send(null);
    },
  );

  // In a scope of its own: no other route reads merge patches.
  await app.register(async (scope) => {
    scope.addContentTypeParser(MERGE_PATCH, { parseAs: 'buffer' }, readJsonBody);
    scope.withTypeProvider<TypeBoxTypeProvider>().patch(
      '/users/:id',
      {
        config: { accepts: `${MERGE_PATCH}, application/json` },
        schema: {
          operationId: 'updateUser',
          summary: 'Change a user by a merge patch',
          tags: [TAGS.users.name],
          consumes: [MERGE_PATCH, 'application/json'],
          params: UserParams,
          headers: ConditionalHeaders,
          body: ref(UserPatch),
          response: {
            200: { ...ref(User), description: 'The user as it is now', headers: etagHeader },
            ...problems(404, 409, 412, 413, 415, 422),
          },
        },
      },
      async (request, reply) => {
        const preconditions = readPreconditions(request);
        const user = await app.write((tx) => updateUser(tx, request.params.id, request.body, preconditions));
        reply.header('etag', etagOf(user));
        return user;
      },
    );
  });
};

export default users;
