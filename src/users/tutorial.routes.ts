import { setTimeout as sleep } from 'node:timers/promises';
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { Type } from 'typebox';
import { NotFound } from '../errors.ts';
import { IdempotencyHeaders, idempotencyHeader, onceForKey, sendAnswer } from '../http/idempotency.ts';
import { TAGS } from '../http/openapi.ts';
import { problem, problems, sendProblem } from '../http/problem.ts';
import { ref } from '../http/schemas.ts';
import { User, UserId } from './users.schemas.ts';
import { createUser } from './users.ts';

const TutorialUser = Type.Object(
  { id: UserId, name: User.properties.name, email: User.properties.email },
  { $id: 'TutorialUser', additionalProperties: false, description: 'A user as the tutorial shows it.' },
);

const NewTutorialUser = Type.Object(
  { name: User.properties.name, email: User.properties.email },
  { $id: 'NewTutorialUser', additionalProperties: false, description: 'A user as the tutorial creates it.' },
);

const TASK_MS = 5000;

/**
 * The routes of the tutorial, to the letter: `POST /add-user`, `GET /user/:id`, `GET /start-task`. Its fourth,
 * `GET /users`, is the list that all programs use.
 */
const tutorial: FastifyPluginAsyncTypebox = async (app) => {
  for (const schema of [TutorialUser, NewTutorialUser]) app.addSchema(schema);

  app.post(
    '/add-user',
    {
      schema: {
        operationId: 'tutorialAddUser',
        summary: 'Create a user, as the tutorial does',
        tags: [TAGS.tutorial.name],
        headers: IdempotencyHeaders,
        body: ref(NewTutorialUser),
        response: {
          200: {
            ...Type.Object({ message: Type.Literal('User created'), user: ref(TutorialUser) }),
            description: 'The user as created',
            headers: idempotencyHeader,
          },
          ...problems(409, 413, 415, 422),
        },
      },
    },
    async (request, reply) => {
      const answer = await app.write((tx) =>
        onceForKey(tx, request, async () => {
          const { id, name, email } = await createUser(tx, request.body);
          return {
            status: 200,
            headers: {},
            body: { message: 'User created' as const, user: { id, name, email } },
          };
        }),
      );
      return sendAnswer(reply, answer);
    },
  );

  app.get(
    '/user/:id',
    {
      schema: {
        operationId: 'tutorialGetUser',
        summary: 'Look up a user, as the tutorial does',
        tags: [TAGS.tutorial.name],
        params: Type.Object({ id: UserId }),
        response: { 200: { ...ref(TutorialUser), description: 'The user' }, ...problems(404) },
      },
    },
    async (request, reply) => {
      try {
        return await app.getUser(request.params.id);
      } catch (error) {
        if (!(error instanceof NotFound)) throw error;
        // The tutorial's own words, beside ours.
        return sendProblem(reply, {
          ...problem(404, error.message, request.id, error.code),
          error: 'User not found',
        });
      }
    },
  );

  app.get(
    '/start-task',
    {
      schema: {
        operationId: 'tutorialStartTask',
        summary: 'Start a task that waits 5 seconds in the background and logs its end',
        tags: [TAGS.tutorial.name],
        response: {
          200: {
            ...Type.Object({ message: Type.Literal('Task started') }),
            description: 'It has been started',
          },
          ...problems(),
        },
      },
    },
    async () => {
      app.tasks.add({
        kind: 'sleep',
        run: async ({ signal, log }) => {
          await sleep(TASK_MS, undefined, { signal });
          log.info('Background task completed');
        },
      });
      return { message: 'Task started' as const };
    },
  );
};

export default tutorial;
