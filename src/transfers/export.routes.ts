import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { positionHeader } from '../changes/changes.schemas.ts';
import { needs, whileLetIn } from '../http/access.ts';
import { TAGS } from '../http/openapi.ts';
import { invalidParameter, problems } from '../http/problems.ts';
import { ref } from '../http/schemas.ts';
import { sendHead } from '../http/streaming.ts';
import { ahead } from './ahead.ts';
import { exportUsers } from './export.ts';
import { freedBody } from './freed.ts';
import { csvLines, ndjsonLines } from './lines.ts';
import { CSV, ExportedCsv, ExportedNdjson, ExportQuery, NDJSON } from './transfers.schemas.ts';

const exports: FastifyPluginAsyncTypebox = async (app) => {
  for (const schema of [ExportedCsv, ExportedNdjson]) app.addSchema(schema);

  app.get(
    '/users/export',
    {
      schema: {
        operationId: 'exportUsers',
        summary: 'Export users to a file',
        description:
          'All of them, or those that the filters of the list let pass, by id, as they were at one position of the log: ' +
          'whoever follows `GET /changes` from it has missed nothing. If the log is not kept so far back any more before ' +
          'the end, or anything else fails, the connection is cut.',
        tags: [TAGS.users.name],
        security: needs('users:read'),
        querystring: ExportQuery,
        response: {
          200: {
            description: 'The file',
            headers: positionHeader,
            content: {
              [NDJSON]: { schema: ref(ExportedNdjson) },
              [CSV]: { schema: ref(ExportedCsv) },
            },
          },
          ...problems(invalidParameter('query', '#/format', 'must be one of csv, ndjson')),
        },
      },
    },
    async (request, reply) => {
      const { format, raw, ...filter } = request.query;
      const { head: position, epoch } = await app.logExtent();
      const lines = format === 'csv' ? await csvLines(raw) : ndjsonLines;
      const pages = exportUsers(app.reader, position, filter, lines, app.isBusy);
      const first = await pages.next(); // what it refuses is still to be told
      reply
        .header('muster-position', position)
        .header('muster-epoch', epoch)
        .header('content-disposition', `attachment; filename="users.${format}"`)
        .type(format === 'csv' ? `${CSV}; charset=utf-8` : NDJSON);
      if (request.method === 'HEAD') return sendHead(reply);
      const texts = async function* () {
        yield lines.header;
        if (!first.done) yield first.value;
        yield* ahead(pages); // one page is made while the client takes the one before; the next, when it has
      };
      return reply.send(freedBody(whileLetIn(request, texts()), reply.raw) as never);
    },
  );
};

export default exports;
