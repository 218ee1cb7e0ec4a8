import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { needs, requireScope } from '../http/access.ts';
import { createOnce, IdempotencyHeaders, idempotencyHeader, refusedCreate } from '../http/idempotency.ts';
import { TAGS } from '../http/openapi.ts';
import { invalidBody, problems, refusedId } from '../http/problems.ts';
import { idParams, idSchema, locationHeader, ref, textSchema, timeSchema } from '../http/schemas.ts';
import {
  builtInSchedule,
  createSchedule,
  deleteSchedule,
  listSchedules,
  scheduleNotFound,
} from './schedules.ts';

const ScheduleId = idSchema('the number of a schedule', 2);
const time = (description: string) => timeSchema(`${description}: RFC 3339, UTC`, '2026-01-15T05:30:00.000Z');
const short = (description: string, example: string) =>
  ({ type: 'string', minLength: 1, maxLength: 100, description, examples: [example] }) as const;

const Kind = short('the kind of the tasks that it enqueues', 'sleep');
const CronExpression = short('minute, hour, day of the month, month, day of the week', '30 6 * * 1-5');
const TimeZone = short('the time zone that `cron` is read in, by its IANA name', 'Europe/Oslo');

const example = { kind: 'sleep', input: { ms: 5000 }, cron: '30 6 * * 1-5', timeZone: 'Europe/Oslo' };

const Schedule = {
  type: 'object',
  required: ['id', 'kind', 'input', 'cron', 'timeZone', 'nextRunAt', 'createdAt'],
  properties: {
    id: ScheduleId,
    name: textSchema('of one that is built in', 'prune'),
    kind: Kind,
    input: { description: 'what each task is given', examples: [{ ms: 5000 }] },
    cron: CronExpression,
    timeZone: TimeZone,
    nextRunAt: time('when it enqueues the next task'),
    lastRunAt: time('when it enqueued the last one'),
    createdAt: time('when it was made'),
  },
  $id: 'Schedule',
  additionalProperties: false,
  description: 'When tasks of a kind are enqueued by the clock.',
  examples: [
    { id: 2, ...example, nextRunAt: '2026-01-16T05:30:00.000Z', createdAt: '2026-01-15T09:30:00.000Z' },
  ],
} as const;

const NewSchedule = {
  type: 'object',
  required: ['kind', 'cron'],
  properties: {
    kind: Kind,
    input: { description: 'what the kind takes', examples: [{ ms: 5000 }] },
    cron: CronExpression,
    timeZone: { ...TimeZone, description: `${TimeZone.description}; UTC by default` },
  },
  $id: 'NewSchedule',
  additionalProperties: false,
  description: 'A schedule to be made.',
  examples: [example],
} as const;

const createScheduleSchema = {
  operationId: 'createSchedule',
  summary: 'Enqueue tasks by the clock',
  description:
    'Each time that `cron` names in its time zone is one task, whatever the number of replicas. Times that go by ' +
    'while no service runs are one task when one runs again.',
  tags: [TAGS.tasks.name],
  security: needs('tasks:write'),
  headers: IdempotencyHeaders,
  body: ref(NewSchedule),
  response: {
    201: {
      ...ref(Schedule),
      description: 'The schedule as made',
      headers: { ...locationHeader('/schedules/2'), ...idempotencyHeader },
    },
    ...problems(
      ...refusedCreate(),
      invalidBody('#/cron', 'must be a cron expression of five parts, such as 30 6 * * 1-5'),
    ),
  },
} as const;

const listSchedulesSchema = {
  operationId: 'listSchedules',
  summary: 'List the schedules',
  description: 'All of them, oldest first, those that are built in among them.',
  tags: [TAGS.tasks.name],
  security: needs('tasks:read'),
  response: {
    200: { type: 'array', items: ref(Schedule), description: 'The schedules' },
    ...problems(),
  },
} as const;

const deleteScheduleSchema = {
  operationId: 'deleteSchedule',
  summary: 'Delete a schedule',
  description: 'What it has enqueued stays. One that is built in cannot be deleted.',
  tags: [TAGS.tasks.name],
  security: needs('tasks:write'),
  params: idParams(ScheduleId),
  response: {
    204: { type: 'null', description: 'It is gone; no body' },
    ...problems(...refusedId(scheduleNotFound(1)), builtInSchedule('prune'), 413),
  },
} as const;

const schedules: FastifyPluginAsyncTypebox = async (app) => {
  for (const schema of [Schedule, NewSchedule]) app.addSchema(schema);

  app.post('/schedules', { schema: createScheduleSchema }, async (request, reply) => {
    const { input = {}, timeZone = 'UTC', ...rest } = request.body;
    for (const scope of app.tasks.scopesOf(rest.kind, input)) requireScope(request, scope);
    return createOnce(request, reply, async (tx) => {
      const schedule = await createSchedule(tx, app.tasks, { ...rest, input, timeZone });
      return { status: 201, headers: { location: `/schedules/${schedule.id}` }, body: schedule };
    });
  });

  app.get('/schedules', { schema: listSchedulesSchema }, () => listSchedules(app.reader));

  app.delete('/schedules/:id', { schema: deleteScheduleSchema }, async (request, reply) => {
    await app.write((tx) => deleteSchedule(tx, request.params.id));
    return reply.code(204).send(null);
  });
};

export default schedules;
