import { METHODS } from 'node:http';
import type { FastifyInstance, RouteOptions } from 'fastify';
import plugin from 'fastify-plugin';
import { problem, sendProblem } from './problem.ts';

/**
 * A known path with a wrong method is a 405 that says which are right (RFC 9110 §15.5.6), where the router would say
 * 404; OPTIONS is answered likewise. It watches every route that is registered after it, so it stands before them all
 * in `app.ts`, and adds its own once they are all known.
 */
export default plugin(
  async (app: FastifyInstance) => {
    for (const method of METHODS)
      if (!app.supportedMethods.includes(method) && method !== 'CONNECT') app.addHttpMethod(method);
    const methodsOf = new Map<string, Set<string>>();
    app.addHook('onRoute', ({ url, method }: RouteOptions) => {
      const methods = methodsOf.get(url) ?? new Set();
      for (const one of [method].flat()) methods.add(one);
      methodsOf.set(url, methods);
    });

    app.decorate('answerWrongMethods', () => {
      for (const [url, methods] of [...methodsOf]) {
        if (url.includes('*') || url.endsWith('/')) continue; // the pages' own files
        const allow = [...methods, 'OPTIONS'].sort().join(', ');
        app.route({
          url,
          method: app.supportedMethods.filter((method) => !methods.has(method)),
          schema: { hide: true },
          exposeHeadRoute: false,
          // Before the body is read: whatever it holds, the method is what is wrong.
          onRequest: async (request, reply) => {
            reply.header('allow', allow);
            if (request.method === 'OPTIONS') return reply.code(204).send();
            const detail = `${request.method} is not possible here; ${allow} are.`;
            return sendProblem(reply, problem(405, detail, request.id));
          },
          handler: async () => undefined,
        });
      }
    });
  },
  { name: 'methods' },
);

declare module 'fastify' {
  interface FastifyInstance {
    /** To be called when every route has been registered. */
    answerWrongMethods(): void;
  }
}
