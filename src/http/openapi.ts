import swagger from '@fastify/swagger';
import swaggerUi from '@fastify/swagger-ui';
import type { FastifyInstance } from 'fastify';
import plugin from 'fastify-plugin';
import type { OpenAPIV3_1 } from 'openapi-types';
import { finishDocument, showExamples } from './document.ts';

export const TAGS = {
  users: { name: 'Users', description: 'Create, look up, list, change and delete people.' },
  tutorial: {
    name: 'Tutorial',
    description:
      'The routes of the tutorial that Muster grew out of, kept to the letter; its fourth, `GET /users`, is the ' +
      'list under Users. New programs use the others.',
  },
} as const;

const ABOUT = `\
Programs create, look up, list, change and delete users. Bodies are JSON, read strictly (I-JSON, RFC 7493): what breaks
a rule is refused, never mended in silence.

- **Errors**: every 4xx and 5xx is a problem document (RFC 9457) whose \`type\` names the exact case; \`errors\` lists
  everything that is wrong with a request, where it is. A known path with a wrong method is a 405 with \`Allow\`.
- **Versions**: a user's \`ETag\` changes with the user. \`If-Match\` changes only what you have seen, \`If-None-Match\`
  fetches only what is new (RFC 9110 §13).
- **Pages**: a list goes on where its \`Link\` header says (RFC 8288), until there is none.
- **Repeating**: a create with an \`Idempotency-Key\` may be sent again until an answer arrives; it creates once.

Every \`GET\` answers \`HEAD\` too.`;

/**
 * Only what the page needs, and only from here. The one that comes with the page would allow other machines' images
 * and styles, and would have browsers ask for its scripts by HTTPS wherever the service is not on localhost.
 */
const PAGE_POLICY = {
  'default-src': "'none'",
  'script-src': "'self'",
  'style-src': "'self'",
  'img-src': "'self' data:",
  'connect-src': "'self'",
  'base-uri': "'none'",
  'form-action': "'none'",
  'frame-ancestors': "'none'",
};

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
          description: ABOUT,
          license: { name: 'MIT', identifier: 'MIT' },
        },
        servers: [{ url: '/', description: 'this service' }],
        tags: Object.values(TAGS),
        // Muster answers whoever can reach it.
        security: [],
      },
      refResolver: {
        // Every component has the name that its schema gives it.
        buildLocalReference(schema, _base, _fragment, index) {
          if (typeof schema.$id !== 'string') throw new Error(`schema ${index} of the document has no $id`);
          return schema.$id;
        },
      },
      transform: ({ schema, url }) => ({ schema: showExamples(schema), url }),
      transformObject(made) {
        if ('swaggerObject' in made) throw new Error('the document is OpenAPI, not Swagger 2');
        return finishDocument(made.openapiObject as OpenAPIV3_1.Document);
      },
    });

    app.get('/openapi.json', { schema: { hide: true } }, async (_request, reply) =>
      reply.type('application/json').send(JSON.stringify(app.swagger())),
    );

    await app.register(swaggerUi, {
      routePrefix: '/docs',
      staticCSP: PAGE_POLICY,
      uiConfig: {
        validatorUrl: null,
        tryItOutEnabled: true,
        displayRequestDuration: true,
        docExpansion: 'list',
        layout: 'BaseLayout', // without a bar that asks for the URL of another document
      },
      theme: { title: 'Muster: API' },
    });
  },
  { name: 'openapi' },
);
