import swagger from '@fastify/swagger';
import type { FastifyInstance } from 'fastify';
import plugin from 'fastify-plugin';
import type { OpenAPIV3_1 } from 'openapi-types';
import { finishDocument, showExamples } from './document.ts';

export const TAGS = {
  users: { name: 'Users', description: 'Create, look up, list, change and delete people.' },
  tasks: { name: 'Tasks', description: 'Long work that runs beside the requests, and what has become of it.' },
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

/** The API document, made of the same schemas that validate: `GET /openapi.json`. */
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
  },
  { name: 'openapi' },
);
