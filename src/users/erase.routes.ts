import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { readHistory } from '../changes/history.ts';
import { needs } from '../http/access.ts';
import { TAGS } from '../http/openapi.ts';
import { problems, refusedId } from '../http/problems.ts';
import { idParams, locationHeader, ref } from '../http/schemas.ts';
import { Task, TaskError, TaskProgress } from '../tasks/tasks.schemas.ts';
import { UserId } from './users.schemas.ts';
import { userNotFound } from './users.ts';

const eraseUserSchema = {
  operationId: 'eraseUser',
  summary: 'Erase a user and every personal value of theirs',
  description:
    'The user is deleted, and what is known of them is removed from the log of changes, from stored answers, tasks ' +
    'and whatever waits to be delivered. Their changes stay as empty places, so that the order stands. When all is ' +
    'done, followers see `user.erased`. Also for a user who has been deleted before. It may be asked for again.',
  tags: [TAGS.users.name],
  security: needs('users:write'),
  params: idParams(UserId),
  response: {
    202: { ...ref(Task), description: 'The task that does it', headers: locationHeader('/tasks/1') },
    ...problems(...refusedId(userNotFound(1)), 413),
  },
} as const;

const erase: FastifyPluginAsyncTypebox = async (app) => {
  for (const schema of [TaskProgress, TaskError, Task]) app.addSchema(schema);

  app.post('/users/:id/erase', { schema: eraseUserSchema }, async (request, reply) => {
    const { id } = request.params;
    const [last] = await readHistory(app.reader, id, 1);
    if (last === undefined) await app.getUser(id); // a 404 unless their changes were pruned
    // No dedupe key: whoever else has it may be for another user, for next month, or about to be cancelled.
    const { actor } = request.access;
    const task = await app.write((tx) => app.tasks.enqueue(tx, 'erase', { userId: id }, { actor }));
    return reply.code(202).header('location', `/tasks/${task.id}`).send(task);
  });
};

export default erase;
