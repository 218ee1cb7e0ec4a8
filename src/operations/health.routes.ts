import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { ANYBODY } from '../http/access.ts';
import { TAGS } from '../http/openapi.ts';
import { problem, sendProblem } from '../http/problem.ts';
import { EXAMPLE_ID, problems } from '../http/problems.ts';
import { ref } from '../http/schemas.ts';
import { Health, HealthCheck } from './health.schemas.ts';
import type { Readiness } from './health.ts';

const EXAMPLE: Readiness['checks'] = {
  service: { status: 'ok' },
  database: { status: 'failed', detail: 'gave no answer within a second' },
};

function notReady({ checks }: Readiness, instance: string) {
  const failed = Object.entries(checks).flatMap(([name, { status }]) => (status === 'failed' ? [name] : []));
  return { ...problem(503, `Not ready: ${failed.join(', ')}.`, instance, 'not-ready'), checks };
}

const isAliveSchema = {
  operationId: 'isAlive',
  summary: 'Whether the process answers',
  description:
    'It asks nothing of the database: a service that is not alive is to be started anew, and that mends no database.',
  tags: [TAGS.operations.name],
  security: ANYBODY,
  response: {
    200: { description: 'It does', content: { 'application/json': { schema: ref(Health) } } },
    ...problems(),
  },
} as const;

const isReadySchema = {
  operationId: 'isReady',
  summary: 'Whether this replica can serve',
  description:
    'For load balancers. Not ready while it starts or stops, when the database does not answer within a second or ' +
    'lacks a migration, when no background tasks are run, or when the disk of an SQLite file is nearly full. The ' +
    'answer may be a second old.',
  tags: [TAGS.operations.name],
  security: ANYBODY,
  response: {
    200: { description: 'It can', content: { 'application/json': { schema: ref(Health) } } },
    ...problems(notReady({ ready: false, checks: EXAMPLE }, EXAMPLE_ID)),
  },
} as const;

const healthRoutes: FastifyPluginAsyncTypebox = async (app) => {
  for (const schema of [HealthCheck, Health]) app.addSchema(schema);
  const config = { essential: true };

  app.get('/health/live', { config, schema: isAliveSchema }, async (_request, reply) =>
    reply.header('cache-control', 'no-store').send({ status: 'ok', checks: {} }),
  );

  app.get('/health/ready', { config, schema: isReadySchema }, async (request, reply) => {
    reply.header('cache-control', 'no-store');
    const readiness = await app.health.ask();
    if (readiness.ready) return reply.send({ status: 'ok', checks: readiness.checks });
    return sendProblem(reply, notReady(readiness, request.id)) as never;
  });
};

export default healthRoutes;
