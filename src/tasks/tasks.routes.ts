import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { needs, requireScope } from '../http/access.ts';
import { createOnce, IdempotencyHeaders, idempotencyHeader, refusedCreate } from '../http/idempotency.ts';
import { TAGS } from '../http/openapi.ts';
import { badCursor, linkHeader, linkNext } from '../http/paging.ts';
import { PreferHeaders, preferenceHeader, readWait } from '../http/prefer.ts';
import { invalidBody, invalidParameter, problems, refusedId } from '../http/problems.ts';
import { idParams, locationHeader, ref } from '../http/schemas.ts';
import { EVENT_STREAM, sendEvents, sendEventsHead, wantsEvents } from '../http/sse.ts';
import { readTime } from '../http/times.ts';
import {
  cancelTask,
  retryTask,
  taskDuplicate,
  taskFinished,
  taskNotFinished,
  taskNotFound,
  taskSucceeded,
} from './control.ts';
import { kindSchemas, NEW_TASK } from './kind-schemas.ts';
import { listTasks } from './list.ts';
import { ListTasksQuery, Task, TaskError, TaskEvents, TaskId, TaskProgress } from './tasks.schemas.ts';
import { findTask, taskEvents, waitForEnd } from './waiting.ts';

/** Ten thousand tasks for one `gather` fit. */
const BODY_LIMIT_BYTES = 4_194_304;

/** What a route that names one task may refuse. */
const refusedTask = refusedId(taskNotFound(1));

const createTaskSchema = {
  operationId: 'createTask',
  summary: 'Enqueue a task',
  description:
    'It runs beside the requests, at least once: after a crash it runs again. With a `dedupeKey` the answer may be ' +
    'a task that was there already. What touches more than tasks needs the scope for that, too.',
  tags: [TAGS.tasks.name],
  security: needs('tasks:write'),
  headers: IdempotencyHeaders,
  body: NEW_TASK,
  response: {
    202: {
      ...ref(Task),
      description: 'The task, which will run',
      headers: { ...locationHeader('/tasks/1'), ...idempotencyHeader },
    },
    ...problems(...refusedCreate(), invalidBody('#/input/ms', 'must be <= 86400000')),
  },
} as const;

const listTasksSchema = {
  operationId: 'listTasks',
  summary: 'List tasks, newest first',
  description: 'Follow the `Link` header until there is none. A list leaves out `input` and `result`.',
  tags: [TAGS.tasks.name],
  security: needs('tasks:read'),
  querystring: ListTasksQuery,
  response: {
    200: { type: 'array', items: ref(Task), description: 'One page', headers: linkHeader },
    ...problems(
      invalidParameter('query', '#/limit', 'must be <= 1000'),
      badCursor('belongs to a list with another sort or filter'),
    ),
  },
} as const;

const getTaskSchema = {
  operationId: 'getTask',
  summary: 'Look at a task, wait for its end, or follow it',
  description:
    'At once, or with `Prefer: wait=…` when it has ended. With `Accept: text/event-stream` it is followed: its state ' +
    'and its progress, until the end.',
  tags: [TAGS.tasks.name],
  security: needs('tasks:read'),
  params: idParams(TaskId),
  headers: PreferHeaders,
  response: {
    200: {
      description: 'The task as it is now',
      headers: preferenceHeader,
      content: {
        'application/json': { schema: ref(Task) },
        [EVENT_STREAM]: { schema: ref(TaskEvents) },
      },
    },
    ...problems(...refusedTask),
  },
} as const;

const cancelTaskSchema = {
  operationId: 'cancelTask',
  summary: 'Cancel a task',
  description:
    'At once if it does not run yet. Else whatever runs it, on any replica, is told, and it is cancelled within two ' +
    'seconds. With it go the tasks that it waits for.',
  tags: [TAGS.tasks.name],
  security: needs('tasks:write'),
  params: idParams(TaskId),
  response: {
    202: { ...ref(Task), description: 'The task, cancelled or about to be' },
    ...problems(...refusedTask, taskFinished(1, 'succeeded'), 413),
  },
} as const;

const retryTaskSchema = {
  operationId: 'retryTask',
  summary: 'Run a task again that has failed or was cancelled',
  description:
    'With all its attempts, from its last checkpoint. Of the tasks that it waited for, those that did not succeed ' +
    'run again.',
  tags: [TAGS.tasks.name],
  security: needs('tasks:write'),
  params: idParams(TaskId),
  response: {
    202: { ...ref(Task), description: 'The task, which will run' },
    ...problems(...refusedTask, taskNotFinished(1, 'running'), taskSucceeded(1), taskDuplicate(1), 413),
  },
} as const;

const tasks: FastifyPluginAsyncTypebox = async (app) => {
  for (const schema of [TaskProgress, TaskError, Task, TaskEvents, ...kindSchemas(app.tasks.kinds)]) {
    app.addSchema(schema);
  }

  app.post('/tasks', { bodyLimit: BODY_LIMIT_BYTES, schema: createTaskSchema }, async (request, reply) => {
    const { kind, input = {}, runAt, ...rest } = request.body;
    for (const scope of app.tasks.scopesOf(kind, input)) requireScope(request, scope);
    const at = runAt === undefined ? {} : { runAt: readTime(runAt, '#/runAt') };
    const options = { ...rest, ...at, actor: request.access.actor };
    return createOnce(request, reply, async (tx) => {
      const task = await app.tasks.enqueue(tx, kind, input, options);
      return { status: 202, headers: { location: `/tasks/${task.id}` }, body: task };
    });
  });

  app.get('/tasks', { schema: listTasksSchema }, async (request, reply) => {
    const { tasks: page, next } = await listTasks(app.reader, request.query);
    if (next !== undefined) linkNext(request, reply, next);
    return page;
  });

  app.get('/tasks/:id', { schema: getTaskSchema }, async (request, reply) => {
    const task = await findTask(app.tasks, request.params.id);
    if (wantsEvents(reply)) {
      if (request.method === 'HEAD') return sendEventsHead(reply);
      return sendEvents(reply, taskEvents(app.tasks, task, app.whileOpen(reply)));
    }
    const seconds = readWait(request);
    if (seconds === undefined) return task as never;
    // Nothing is sent meanwhile, and the connection is not given up for that.
    request.raw.socket?.setTimeout?.((seconds + 60) * 1000);
    const waited = await waitForEnd(app.tasks, task, seconds * 1000, app.whileOpen(reply));
    reply.header('preference-applied', `wait=${seconds}`);
    return waited as never;
  });

  app.post('/tasks/:id/cancel', { schema: cancelTaskSchema }, async (request, reply) => {
    const task = await app.write((tx) => cancelTask(tx, request.params.id));
    return reply.code(202).send(task);
  });

  app.post('/tasks/:id/retry', { schema: retryTaskSchema }, async (request, reply) => {
    const task = await app.write((tx) => retryTask(tx, request.params.id));
    return reply.code(202).send(task);
  });
};

export default tasks;
