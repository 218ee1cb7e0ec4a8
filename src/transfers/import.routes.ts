import type { FastifyPluginAsyncTypebox, TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import type { FastifyRequest } from 'fastify';
import { Malformed, UnsupportedMediaType } from '../errors.ts';
import { needs, whileLetIn } from '../http/access.ts';
import {
  type Answer,
  IdempotencyHeaders,
  idempotencyHeader,
  keyInUse,
  keyReused,
  onceForKey,
  sendAnswer,
} from '../http/idempotency.ts';
import { TAGS } from '../http/openapi.ts';
import { invalidParameter, problems } from '../http/problems.ts';
import { locationHeader, ref } from '../http/schemas.ts';
import { drain, readSlowly } from '../http/streaming.ts';
import { Task, TaskError, TaskProgress } from '../tasks/tasks.schemas.ts';
import type { TaskView } from '../tasks/view.ts';
import { invalidHeader } from './columns.ts';
import { readHeader } from './csv.ts';
import { findFile, invalidForm } from './form.ts';
import { CSV, FORM, ImportQuery, NDJSON, PeopleCsv, PeopleForm, PeopleNdjson } from './transfers.schemas.ts';
import { BLOCK_BYTES, type Format } from './upload.entity.ts';
import { giveToTask, type Received, receiveUpload, removeUpload, uploadTooLarge } from './uploads.ts';

interface Options {
  mostBytes: number;
  /** In which a client has to send `LEAST_BYTES`. */
  slowestMs: number;
}

const ACCEPTED = [CSV, NDJSON, FORM];
const FORMAT_OF: Record<string, Format> = { [CSV]: 'csv', [NDJSON]: 'ndjson' };
const FORMAT_OF_NAME: Record<string, Format> = { csv: 'csv', ndjson: 'ndjson', jsonl: 'ndjson' };

const imports: FastifyPluginAsyncTypebox<Options> = async (app, { mostBytes, slowestMs }) => {
  for (const schema of [TaskProgress, TaskError, Task, PeopleCsv, PeopleNdjson, PeopleForm])
    app.addSchema(schema);

  // In a scope of its own: here a body is read as it arrives, by the handler.
  await app.register(async (scope) => {
    scope.removeAllContentTypeParsers();
    for (const type of ACCEPTED) scope.addContentTypeParser(type, (_request, _body, done) => done(null));
    scope.withTypeProvider<TypeBoxTypeProvider>().post(
      '/users/import',
      {
        schema: {
          operationId: 'importUsers',
          summary: 'Import users from a file of any length',
          description:
            'The answer comes when the file has arrived, and a task then makes of each row what `POST /users` would make ' +
            'of it. Its progress counts rows and bytes, its result is `{created, updated, unchanged, skipped, refused}`, ' +
            'and `GET /tasks/{id}/errors` gives the rows that were refused. An upload that breaks off leaves nothing. A ' +
            'task that has failed or was cancelled can be run again for a day, from where it was.',
          tags: [TAGS.users.name],
          security: needs('users:write'),
          consumes: ACCEPTED,
          headers: IdempotencyHeaders,
          querystring: ImportQuery,
          body: {
            content: {
              [CSV]: { schema: ref(PeopleCsv) },
              [NDJSON]: { schema: ref(PeopleNdjson) },
              [FORM]: { schema: ref(PeopleForm) },
            },
          },
          response: {
            202: {
              ...ref(Task),
              description: 'The task that imports it',
              headers: { ...locationHeader('/tasks/1'), ...idempotencyHeader },
            },
            ...problems(
              invalidParameter('query', '#/onConflict', 'must be one of skip, update, fail'),
              invalidForm('it has no file'),
              brokenOff(),
              keyInUse(),
              uploadTooLarge(2_147_483_648),
              unreadable(),
              invalidHeader('there is no column email'),
              keyReused(),
            ),
          },
        },
      },
      async (request, reply) => {
        const upload = await receive(request).catch((error) => {
          drain(request);
          // Node destroys a request that it has read to its end as well.
          throw request.raw.destroyed && !request.raw.complete ? brokenOff() : error;
        });
        try {
          const answer = await begin(request, upload, request.query);
          const isRepeated = 'idempotent-replayed' in answer.headers;
          if (isRepeated) await removeUpload(app.write, upload.id);
          return sendAnswer(reply, answer);
        } catch (error) {
          await removeUpload(app.write, upload.id).catch(() => {}); // upkeep will
          throw error;
        }
      },
    );
  });

  async function receive(request: FastifyRequest): Promise<Received & { format: Format }> {
    if (Number(request.headers['content-length'] ?? 0) > mostBytes) throw uploadTooLarge(mostBytes);
    const { format, bytes } = await fileOf(request, slowestMs);
    const headerOf = async (block: Buffer) =>
      format === 'csv' ? (await readHeader(block, block.length < BLOCK_BYTES)).bytes : null;
    return { format, ...(await receiveUpload(app.write, format, bytes, { mostBytes, headerOf })) };
  }

  function begin(
    request: FastifyRequest,
    { id, format, sha256 }: Received & { format: Format },
    query: { onConflict: string; dryRun: boolean },
  ): Promise<Answer<TaskView>> {
    return app.write((tx) =>
      onceForKey(
        tx,
        request,
        async () => {
          const task = await app.tasks.enqueue(
            tx,
            'import',
            { format, ...query },
            { actor: request.access.actor },
          );
          await giveToTask(tx, id, task.id);
          return { status: 202, headers: { location: `/tasks/${task.id}` }, body: task };
        },
        { format, ...query, sha256 },
      ),
    );
  }
};

async function fileOf(
  request: FastifyRequest,
  slowestMs: number,
): Promise<{ format: Format; bytes: AsyncIterable<Buffer> }> {
  const written = request.headers['content-type'] ?? '';
  const [type, charset] = mediaType(written);
  if (charset !== undefined && !/^(utf-?8|us-ascii)$/.test(charset)) throw unreadable();
  const body = whileLetIn(request, readSlowly(request, slowestMs));
  if (type !== FORM) {
    const format = FORMAT_OF[type];
    if (format === undefined) throw unreadable();
    return { format, bytes: body };
  }
  const file = await findFile(written, body);
  const ending = file.name.split('.').at(-1)?.toLowerCase() ?? '';
  const format = FORMAT_OF[file.type] ?? FORMAT_OF_NAME[ending];
  if (format === undefined) throw unreadable();
  return { format, bytes: file.bytes };
}

function mediaType(contentType: string): [type: string, charset: string | undefined] {
  const [type = ''] = contentType.split(';');
  const charset = /;\s*charset\s*=\s*"?([^";\s]+)/i.exec(contentType)?.[1];
  return [type.trim().toLowerCase(), charset?.toLowerCase()];
}

function unreadable(): UnsupportedMediaType {
  return new UnsupportedMediaType(
    'file-type',
    `A file is read as ${CSV} or ${NDJSON}, in UTF-8, or in a form with one of them.`,
  );
}

/** Nobody is there any more to be told so, but for the log. */
function brokenOff(): Malformed {
  return new Malformed('upload-broken-off', 'The upload broke off, and nothing of it is kept.');
}

export default imports;
