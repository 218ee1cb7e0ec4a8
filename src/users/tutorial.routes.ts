import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { NotFound } from '../errors.ts';
import { needs } from '../http/access.ts';
import { createOnce, IdempotencyHeaders, idempotencyHeader, refusedCreate } from '../http/idempotency.ts';
import { TAGS } from '../http/openapi.ts';
import { type ProblemBody, problemOf, sendProblem } from '../http/problem.ts';
import { EXAMPLE_ID, invalidBody, problems, refusedId } from '../http/problems.ts';
import { idParams, ref } from '../http/schemas.ts';
import { sleep } from '../tasks/sleep.task.ts';
import { User, UserId } from './users.schemas.ts';
import { createUser, emailTaken, userNotFound } from './users.ts';

const { name, email } = User.properties;

const TutorialUser = {
  type: 'object',
  required: ['id', 'name', 'email'],
  properties: { id: UserId, name, email },
  $id: 'TutorialUser',
  additionalProperties: false,
  description: 'A user as the tutorial shows it.',
  examples: [{ id: 1, name: 'Ada Lovelace', email: 'ada@example.com' }],
} as const;

const NewTutorialUser = {
  type: 'object',
  required: ['name', 'email'],
  properties: { name, email },
  $id: 'NewTutorialUser',
  additionalProperties: false,
  description: 'A user as the tutorial creates it.',
  examples: [{ name: 'Ada Lovelace', email: 'ada@example.com' }],
} as const;

const TutorialUserCreated = {
  type: 'object',
  required: ['message', 'user'],
  properties: { message: { type: 'string', const: 'User created' }, user: ref(TutorialUser) },
  $id: 'TutorialUserCreated',
  additionalProperties: false,
  description: 'What the tutorial says of a new user.',
  examples: [{ message: 'User created', user: { id: 1, name: 'Ada Lovelace', email: 'ada@example.com' } }],
} as const;

const TutorialTaskStarted = {
  type: 'object',
  required: ['message'],
  properties: { message: { type: 'string', const: 'Task started' } },
  $id: 'TutorialTaskStarted',
  additionalProperties: false,
  description: 'What the tutorial says of a task.',
  examples: [{ message: 'Task started' }],
} as const;

/** The tutorial's own words, beside ours. */
function tutorialNotFound(error: NotFound, instance: string): ProblemBody {
  return { ...problemOf(error, instance), error: 'User not found' };
}

const addUserSchema = {
  operationId: 'tutorialAddUser',
  summary: 'Create a user, as the tutorial does',
  description: 'The tutorial’s form of `POST /users`, with its answer: 200, and the user under `user`.',
  tags: [TAGS.tutorial.name],
  security: needs('users:write'),
  headers: IdempotencyHeaders,
  body: ref(NewTutorialUser),
  response: {
    200: { ...ref(TutorialUserCreated), description: 'The user as created', headers: idempotencyHeader },
    ...problems(...refusedCreate(), emailTaken(), invalidBody('#/name', 'is required')),
  },
} as const;

const getUserSchema = {
  operationId: 'tutorialGetUser',
  summary: 'Look up a user, as the tutorial does',
  description: 'The tutorial’s form of `GET /users/{id}`. Its 404 also says `error: "User not found"`.',
  tags: [TAGS.tutorial.name],
  security: needs('users:read'),
  params: idParams(UserId),
  response: {
    200: { ...ref(TutorialUser), description: 'The user' },
    ...problems(...refusedId(tutorialNotFound(userNotFound(1), EXAMPLE_ID))),
  },
} as const;

const startTaskSchema = {
  operationId: 'tutorialStartTask',
  summary: 'Start a background task',
  description:
    'Answers at once. The task waits 5 seconds beside the requests, then logs `Background task completed`.',
  tags: [TAGS.tutorial.name],
  security: needs('tasks:write'),
  response: {
    200: { ...ref(TutorialTaskStarted), description: 'It has been started' },
    ...problems(),
  },
} as const;

const TASK_MS = 5000;

/**
 * The routes of the tutorial, to the letter: `POST /add-user`, `GET /user/:id`, `GET /start-task`. Its fourth,
 * `GET /users`, is the list that all programs use.
 */
const tutorial: FastifyPluginAsyncTypebox = async (app) => {
  for (const schema of [TutorialUser, NewTutorialUser, TutorialUserCreated, TutorialTaskStarted]) {
    app.addSchema(schema);
  }

  app.post('/add-user', { schema: addUserSchema }, (request, reply) =>
    createOnce(request, reply, async (tx) => {
      const { id, name, email } = await createUser(tx, request.body, request.access.actor);
      const body = { message: 'User created' as const, user: { id, name, email } };
      return { status: 200, headers: {}, body };
    }),
  );

  app.get('/user/:id', { schema: getUserSchema }, async (request, reply) => {
    try {
      return await app.getUser(request.params.id);
    } catch (error) {
      if (!(error instanceof NotFound)) throw error;
      return sendProblem(reply, tutorialNotFound(error, request.id));
    }
  });

  app.get('/start-task', { schema: startTaskSchema }, async (request) => {
    const { actor } = request.access;
    // The tutorial has it that a GET starts something; a HEAD is safe (RFC 9110 §9.2.1).
    if (request.method === 'GET')
      await app.write((tx) => app.tasks.enqueue(tx, sleep, { ms: TASK_MS }, { actor }));
    return { message: 'Task started' as const };
  });
};

export default tutorial;
