import type { FastifyInstance, RouteOptions } from 'fastify';
import plugin from 'fastify-plugin';
import type { OpenAPIV3_1 } from 'openapi-types';

declare module 'fastify' {
  interface FastifyInstance {
    /** The API document, made of the same schemas that validate when it is first asked for. */
    apiDocument(): Promise<OpenAPIV3_1.Document>;
  }
}

export const TAGS = {
  users: { name: 'Users', description: 'Create, look up, list, change and delete people.' },
  changes: {
    name: 'Changes',
    description: 'Every change of a user, once and in order: to be read, followed live and gone back to.',
  },
  tasks: {
    name: 'Tasks',
    description: 'Long work that runs beside the requests, and what has become of it.',
  },
  keys: { name: 'Keys', description: 'Who may do what: API keys and their scopes.' },
  webhooks: {
    name: 'Webhooks',
    description:
      'Have every change pushed to a URL: signed, at least once, and the changes of one user in order.',
  },
  operations: { name: 'Operations', description: 'For those who run Muster: whether it is well.' },
  tutorial: {
    name: 'Tutorial',
    description:
      'The routes of the tutorial that Muster grew out of, kept to the letter; its fourth, `GET /users`, is the ' +
      'list under Users. New programs use the others.',
  },
} as const;

/**
 * `GET /openapi.json`. Here the routes are only noted: what makes a document of them is loaded when somebody asks for
 * it; it cost each start 27 ms.
 */
export default plugin(
  async (app: FastifyInstance) => {
    const routes: RouteOptions[] = [];
    app.addHook('onRoute', (route) => void routes.push(route));
    const scopes = [app]; // whoever registers routes adds their schemas to a scope of its own
    app.addHook('onRegister', (scope) => void scopes.push(scope));

    let made: Promise<OpenAPIV3_1.Document> | undefined;
    app.decorate('apiDocument', () => {
      made ??= import('./swagger.ts').then(({ makeDocument }) =>
        makeDocument(Object.assign({}, ...scopes.map((scope) => scope.getSchemas())), routes),
      );
      return made;
    });

    app.get('/openapi.json', { schema: { hide: true } }, async (_request, reply) =>
      reply.type('application/json').send(JSON.stringify(await app.apiDocument())),
    );
  },
  { name: 'openapi' },
);
