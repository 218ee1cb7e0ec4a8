import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { ANYBODY } from '../http/access.ts';
import { TAGS } from '../http/openapi.ts';
import { problems } from '../http/problems.ts';
import { ref } from '../http/schemas.ts';

const MetricsText = {
  type: 'string',
  $id: 'MetricsText',
  description:
    'The text format of Prometheus, version 0.0.4. Its own metrics begin with `muster_`, those of the process with ' +
    '`process_` and `nodejs_`. Further ones may come at any time.',
  examples: ['# TYPE muster_write_queue_length gauge\nmuster_write_queue_length 0\n'],
} as const;

const readMetricsSchema = {
  operationId: 'readMetrics',
  summary: 'What this replica measures of itself',
  description: 'For Prometheus, each replica by itself. The answer may be a second old.',
  tags: [TAGS.operations.name],
  security: ANYBODY,
  response: {
    200: {
      description: 'Every metric as it is now',
      content: { 'text/plain': { schema: ref(MetricsText) } },
    },
    ...problems(),
  },
} as const;

const metricsRoutes: FastifyPluginAsyncTypebox = async (app) => {
  app.addSchema(MetricsText);
  const config = { essential: true };

  app.get('/metrics', { config, schema: readMetricsSchema }, async (_request, reply) => {
    const text = await app.metrics.render();
    reply.header('cache-control', 'no-store').type('text/plain; version=0.0.4; charset=utf-8');
    return reply.serializer((given) => given as string).send(text);
  });
};

export default metricsRoutes;
