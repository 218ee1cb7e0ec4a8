import swagger from '@fastify/swagger';
import Fastify, { type RouteOptions } from 'fastify';
import type { OpenAPIV3_1 } from 'openapi-types';
import { finishDocument } from './document.ts';
import { TAGS } from './openapi.ts';

const ABOUT = `\
Programs create, look up, list, change and delete users. Bodies are JSON, read strictly (I-JSON, RFC 7493): what breaks
a rule is refused, never mended in silence.

- **Errors**: every 4xx and 5xx is a problem document (RFC 9457) whose \`type\` names the exact case; \`errors\` lists
  everything that is wrong with a request, where it is (of a task, the first thing). A known path with a wrong method is a 405 with \`Allow\`.
- **Versions**: a user's \`ETag\` changes with the user. \`If-Match\` changes only what you have seen, \`If-None-Match\`
  fetches only what is new (RFC 9110 §13).
- **Pages**: a list goes on where its \`Link\` header says (RFC 8288), until there is none.
- **Repeating**: a create with an \`Idempotency-Key\` may be sent again until an answer arrives; it creates once.

Every \`GET\` answers \`HEAD\` too.`;

/** The document of these routes. @fastify/swagger notes routes as they are registered, so they are: in an app that never serves. */
export async function makeDocument(
  schemas: Record<string, unknown>,
  routes: readonly RouteOptions[],
): Promise<OpenAPIV3_1.Document> {
  const app = Fastify({ exposeHeadRoutes: false });
  app.setValidatorCompiler(() => () => true);
  app.setSerializerCompiler(() => () => '');
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
      components: {
        securitySchemes: {
          bearer: {
            type: 'http',
            scheme: 'bearer',
            description:
              'An API key (`mk_…`), or a token of the OpenID provider that the service trusts (RFC 6750). What an ' +
              'operation lists here is the scope that it needs; one that writes also shows what was written. As long ' +
              'as there is no key, and on loopback only, whoever can reach the service may do everything.',
          },
        },
      },
    },
    refResolver: {
      // Every component has the name that its schema gives it.
      buildLocalReference: (schema) => String(schema.$id),
    },
  });
  for (const schema of Object.values(schemas)) app.addSchema(schema);
  for (const { method, url, schema } of routes) {
    if (method !== 'HEAD') app.route({ method, url, schema, handler: () => {} });
  }
  await app.ready();
  return finishDocument(app.swagger() as OpenAPIV3_1.Document);
}
