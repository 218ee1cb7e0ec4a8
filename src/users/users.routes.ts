import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { positionHeader } from '../changes/changes.schemas.ts';
import { positionGone } from '../changes/log.ts';
import { needs } from '../http/access.ts';
import {
  ConditionalHeaders,
  etagHeader,
  etagOf,
  isNotModified,
  readPreconditions,
  versionMismatch,
} from '../http/conditional.ts';
import { PATCH_TYPES, readMergePatches } from '../http/edge.ts';
import { createOnce, IdempotencyHeaders, idempotencyHeader, refusedCreate } from '../http/idempotency.ts';
import { sendJson } from '../http/json.ts';
import { TAGS } from '../http/openapi.ts';
import { badCursor, linkHeader, linkNext } from '../http/paging.ts';
import { invalidBody, invalidParameter, problems, refusedId, refusedPatch } from '../http/problems.ts';
import { idParams, locationHeader, ref } from '../http/schemas.ts';
import { listUsers } from './list.ts';
import { At, findUserThen, invalidMoment } from './then.ts';
import { userJson } from './user-json.ts';
import { exampleUser, ListUsersQuery, NewUser, User, UserId, UserPatch } from './users.schemas.ts';
import { createUser, deleteUser, emailTaken, updateUser, userNotFound } from './users.ts';

const refusedUser = refusedId(userNotFound(1));
const refusedVersion = versionMismatch(['"1"'], '"2"');

const userPatched = {
  ...exampleUser,
  name: 'Ada King',
  attributes: { team: 'analysis' },
  version: 2,
  updatedAt: '2026-03-02T16:05:12.480Z',
};

const createUserSchema = {
  operationId: 'createUser',
  summary: 'Create a user',
  description:
    'The email must be free. With an `Idempotency-Key` the request may be repeated until an answer ' +
    'arrives: it creates one user, and every success is the same answer.',
  tags: [TAGS.users.name],
  security: needs('users:write'),
  headers: IdempotencyHeaders,
  body: ref(NewUser),
  response: {
    201: {
      ...ref(User),
      description: 'The user as created',
      headers: { ...locationHeader('/users/1'), ...etagHeader, ...idempotencyHeader },
    },
    ...problems(...refusedCreate(), emailTaken(), invalidBody('#/name', 'is required')),
  },
} as const;

const listUsersSchema = {
  operationId: 'listUsers',
  summary: 'List users, page by page',
  description:
    'Follow the `Link` header until there is none. A user that is there throughout is seen exactly once, ' +
    'whatever is created, changed or deleted meanwhile; sorted by name or email, unless their own changes: then they may be ' +
    'seen twice, or not at all. Who then follows `GET /changes` from the ' +
    '`Muster-Position` of the first page has missed nothing. This is also the tutorial’s `GET /users`.',
  tags: [TAGS.users.name],
  security: needs('users:read'),
  querystring: ListUsersQuery,
  response: {
    200: {
      type: 'array',
      items: ref(User),
      description: 'One page',
      headers: { ...linkHeader, ...positionHeader },
    },
    ...problems(
      invalidParameter('query', '#/limit', 'must be <= 1000'),
      badCursor('belongs to a list with another sort or filter'),
    ),
  },
} as const;

const getUserSchema = {
  operationId: 'getUser',
  summary: 'Look up a user',
  description:
    'As they are now, or as they were. With the `ETag` of an earlier answer in `If-None-Match`, a user who has not ' +
    'changed is a 304.',
  tags: [TAGS.users.name],
  security: needs('users:read'),
  params: idParams(UserId),
  querystring: { type: 'object', properties: { at: At }, additionalProperties: false },
  headers: ConditionalHeaders,
  response: {
    200: { ...ref(User), description: 'The user', headers: etagHeader },
    304: {
      type: 'null',
      description: 'Still as in the answer whose `ETag` the request names in `If-None-Match`; no body',
      headers: etagHeader,
    },
    ...problems(
      ...refusedUser,
      invalidMoment(),
      positionGone({ keptAfter: 1000, head: 2000 }),
      refusedVersion,
      { status: 412, headers: etagHeader },
    ),
  },
} as const;

const updateUserSchema = {
  operationId: 'updateUser',
  summary: 'Change a user by a merge patch',
  description:
    'What the patch does not name stays as it is; `null` removes an attribute. With `If-Match`, only the ' +
    'version that the caller has seen: of two who change it at once, one gets a 412. A patch that changes ' +
    'nothing leaves the version as it is.',
  tags: [TAGS.users.name],
  security: needs('users:write'),
  consumes: PATCH_TYPES,
  params: idParams(UserId),
  headers: ConditionalHeaders,
  body: ref(UserPatch),
  response: {
    200: {
      description: 'The user as it is now',
      headers: etagHeader,
      content: { 'application/json': { schema: ref(User), example: userPatched } },
    },
    ...problems(
      ...refusedPatch(),
      ...refusedUser,
      emailTaken(),
      refusedVersion,
      invalidBody('#/nickname', 'is not known here'),
    ),
  },
} as const;

const deleteUserSchema = {
  operationId: 'deleteUser',
  summary: 'Delete a user',
  description: 'For good. With `If-Match`, only the version that the caller has seen.',
  tags: [TAGS.users.name],
  security: needs('users:write'),
  params: idParams(UserId),
  headers: ConditionalHeaders,
  response: {
    204: { type: 'null', description: 'The user is gone; no body' },
    ...problems(...refusedUser, refusedVersion, 413),
  },
} as const;

const users: FastifyPluginAsyncTypebox = async (app) => {
  for (const schema of [User, NewUser, UserPatch]) app.addSchema(schema);

  app.post('/users', { schema: createUserSchema }, (request, reply) =>
    createOnce(request, reply, async (tx) => {
      const user = await createUser(tx, request.body, request.access.actor);
      return { status: 201, headers: { location: `/users/${user.id}`, etag: etagOf(user) }, body: user };
    }),
  );

  app.get('/users', { schema: listUsersSchema }, async (request, reply) => {
    const { email, limit } = request.query;
    const list = async () => {
      const extent = await app.logExtent(); // before the list is read
      return { ...extent, ...(await listUsers(app.reader, request.query)) };
    };
    const most = email === undefined ? limit : 1;
    const { head, epoch, rows, next } = await app.reader.long.run(most, list, app.whileOpen(reply));
    reply.header('muster-position', head).header('muster-epoch', epoch);
    if (next !== undefined) linkNext(request, reply, next);
    return sendJson(reply, `[${rows.map(userJson).join(',')}]`);
  });

  app.get('/users/:id', { schema: getUserSchema }, async (request, reply) => {
    const preconditions = readPreconditions(request);
    const { id } = request.params;
    const { at } = request.query;
    const user = at === undefined ? await app.getUser(id) : await findUserThen(app.reader, id, at);
    const etag = etagOf(user);
    reply.header('etag', etag);
    if (isNotModified(preconditions, etag)) return reply.code(304).send(undefined as never);
    return sendJson(reply, 'json' in user ? user.json : userJson(user));
  });

  await app.register(patchUser);

  app.delete('/users/:id', { schema: deleteUserSchema }, async (request, reply) => {
    const preconditions = readPreconditions(request);
    await app.write((tx) => deleteUser(tx, request.params.id, preconditions, request.access.actor));
    return reply.code(204).send(null);
  });
};

/** In a scope of its own: no other route reads merge patches. */
const patchUser: FastifyPluginAsyncTypebox = async (app) => {
  readMergePatches(app);
  app.patch('/users/:id', { schema: updateUserSchema }, async (request, reply) => {
    const preconditions = readPreconditions(request);
    const user = await app.write((tx) =>
      updateUser(tx, request.params.id, request.body, preconditions, request.access.actor),
    );
    reply.header('etag', etagOf(user));
    return user;
  });
};

export default users;
