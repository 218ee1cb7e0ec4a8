import { Readable } from 'node:stream';
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { needs, whileLetIn } from '../http/access.ts';
import { TAGS } from '../http/openapi.ts';
import { invalidParameter, problems } from '../http/problems.ts';
import { ref } from '../http/schemas.ts';
import { taskNotFound } from '../tasks/control.ts';
import { TaskId } from '../tasks/tasks.schemas.ts';
import { findTask } from '../tasks/waiting.ts';
import { refusedRows } from './refused.ts';
import { findUpload } from './source.ts';
import { CSV, NDJSON, RefusedCsv, RefusedNdjson } from './transfers.schemas.ts';

const errors: FastifyPluginAsyncTypebox = async (app) => {
  for (const schema of [RefusedCsv, RefusedNdjson]) app.addSchema(schema);

  app.get(
    '/tasks/:id/errors',
    {
      schema: {
        operationId: 'listTaskErrors',
        summary: 'Read the rows that an import has refused',
        description:
          'In the format of the file, each with its line and the reason: mended, the answer can be sent to ' +
          '`POST /users/import` as it is. Also while the task runs. Of other tasks there are none. They are kept as long as ' +
          'the task.',
        tags: [TAGS.tasks.name],
        security: needs('tasks:read'),
        params: { type: 'object', required: ['id'], properties: { id: TaskId } },
        response: {
          200: {
            description: 'Every refused row, in the order of the file',
            content: {
              [CSV]: { schema: ref(RefusedCsv) },
              [NDJSON]: { schema: ref(RefusedNdjson) },
            },
          },
          ...problems(invalidParameter('path', '#/id', 'must be integer'), taskNotFound(1), 414),
        },
      },
    },
    async (request, reply) => {
      const { id } = await findTask(app.tasks, request.params.id);
      const { format = 'ndjson', header = null } = (await findUpload(app.reader, id)) ?? {};
      reply.type(format === 'csv' ? `${CSV}; charset=utf-8` : NDJSON);
      if (request.method === 'HEAD') return reply.send('' as never);
      const rows = refusedRows(app.reader, id, format, header);
      return reply.send(Readable.from(whileLetIn(request, rows)) as never);
    },
  );
};

export default errors;
