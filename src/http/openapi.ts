import swagger from '@fastify/swagger';
import swaggerUi from '@fastify/swagger-ui';
import type { FastifyInstance } from 'fastify';
import plugin from 'fastify-plugin';

export const TAGS = {
  users: { name: 'Users', description: 'Create, look up, list, change and delete people.' },
  tutorial: {
    name: 'Tutorial',
    description:
      'The four routes of the tutorial that Muster grew out of, kept to the letter. New programs use the others.',
  },
} as const;

/**
 * The API document, made of the same schemas that validate: `GET /openapi.json`, and a page to read and try it at
 * `/docs` that asks nothing of any other machine.
 */
export default plugin(
  async (app: FastifyInstance) => {
    await app.register(swagger, {
      openapi: {
        openapi: '3.1.1',
        info: {
          title: 'Muster',
          version: '1.0.0',
          summary: 'A user directory that runs as one small service.',
          description:
            'Programs create, look up, list, change and delete users. Bodies are JSON (I-JSON, RFC 7493). ' +
            'Every 4xx and 5xx is a problem document (RFC 9457).',
          license: { name: 'MIT', identifier: 'MIT' },
        },
        servers: [{ url: '/', description: 'this service' }],
        tags: Object.values(TAGS),
        // Muster answers whoever can reach it.
        security: [],
      },
      refResolver: {
        buildLocalReference: (schema, _base, _fragment, index) => String(schema.$id ?? `schema-${index}`),
      },
    });

    app.get('/openapi.json', { schema: { hide: true } }, async (_request, reply) =>
      reply.type('application/json').send(JSON.stringify(app.swagger())),
    );

    await app.register(swaggerUi, {
      routePrefix: '/docs',
      staticCSP: true,
      uiConfig: {
        validatorUrl: null,
        tryItOutEnabled: true,
        displayRequestDuration: true,
        docExpansion: 'list',
      },
      theme: { title: 'Muster: API' },
    });
  },
  { name: 'openapi' },
);
