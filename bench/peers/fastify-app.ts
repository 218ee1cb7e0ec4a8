import Fastify, { type FastifyError, type FastifyReply } from 'fastify';
import {
  listSchema,
  type NewUser,
  newUserSchema,
  paramsSchema,
  type Store,
  type User,
  type UserPatch,
  userPatchSchema,
  userSchema,
} from './api.ts';
import { environment } from './environment.ts';

/** Fastify as its documentation recommends: JSON schemas for what comes in and for what goes out, no request log. */
export async function serve(store: Store): Promise<void> {
  const app = Fastify();

  app.setErrorHandler((error: FastifyError, _request, reply) => {
    const status = error.validationContext === 'body' ? 422 : (error.statusCode ?? 500);
    return reply.code(status).send({ status, title: error.message });
  });

  app.get<{ Params: { id: number } }>(
    '/users/:id',
    { schema: { params: paramsSchema, response: { 200: userSchema } } },
    async (request, reply) => sendUser(reply, await store.find(request.params.id)),
  );

  app.get<{ Querystring: { limit: number; after: number } }>(
    '/users',
    { schema: { querystring: listSchema, response: { 200: { type: 'array', items: userSchema } } } },
    async (request) => store.list(request.query.limit, request.query.after),
  );

  app.post<{ Body: NewUser }>(
    '/users',
    { schema: { body: newUserSchema, response: { 201: userSchema } } },
    async (request, reply) => {
      const user = await store.create(request.body);
      if (user === undefined) return reply.code(409).send({ status: 409, title: 'Email taken' });
      reply.code(201).header('location', `/users/${user.id}`);
      return sendUser(reply, user);
    },
  );

  app.patch<{ Params: { id: number }; Body: UserPatch }>(
    '/users/:id',
    { schema: { params: paramsSchema, body: userPatchSchema, response: { 200: userSchema } } },
    async (request, reply) =>
      sendUser(reply, await store.patch(request.params.id, request.body.attributes ?? {})),
  );

  await app.listen({ host: environment.host, port: environment.port });
}

function sendUser(reply: FastifyReply, user: User | undefined): User | FastifyReply {
  if (user === undefined) return reply.code(404).send({ status: 404, title: 'Not found' });
  reply.header('etag', `"${user.version}"`);
  return user;
}
