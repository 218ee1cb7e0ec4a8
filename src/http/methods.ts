import type { FastifyInstance, RouteOptions } from 'fastify';
import plugin from 'fastify-plugin';
import { problem, sendProblem } from './problem.ts';

/**
 * A known path with a wrong method is a 405 that says which are right (RFC 9110 §15.5.6), where the router would say 404,
 * or take `/users/import` for a user; OPTIONS is answered likewise. It watches every route that is registered after it,
 * so it stands before them all in `app.ts`. It answers before the body is read: whatever that holds, the method or the
 * path is what is wrong.
 */
export default plugin(
  async (app: FastifyInstance) => {
    const paths = new Map<string, { pattern: RegExp; methods: Set<string> }>();
    app.addHook('onRoute', ({ url, method }: RouteOptions) => {
      const path = paths.get(url) ?? { pattern: patternOf(url), methods: new Set(['OPTIONS']) };
      for (const one of [method].flat()) path.methods.add(one);
      paths.set(url, path);
    });

    app.addHook('onRequest', (request, reply, done) => {
      const path = pathOf(request.url);
      const exact = paths.get(path);
      if (!request.is404 && (exact === undefined || request.routeOptions.url === path)) return done();
      const known = exact ?? [...paths.values()].find(({ pattern }) => pattern.test(path));
      if (known === undefined) {
        return sendProblem(reply, problem(404, `There is nothing at ${request.method} ${path}.`, request.id));
      }
      const allow = [...known.methods].sort().join(', ');
      reply.header('allow', allow);
      if (request.method === 'OPTIONS') return reply.code(204).send();
      const detail = `${request.method} is not possible here; ${allow} are.`;
      return sendProblem(reply, problem(405, detail, request.id));
    });
  },
  { name: 'methods', dependencies: ['problem', 'edge'] },
);

/** As the router reads it: `edge` has seen that it can be. */
function pathOf(url: string): string {
  const [path = ''] = url.split('?', 1);
  return path.includes('%') ? decodeURI(path) : path;
}

function patternOf(url: string): RegExp {
  const parts = url.split('/').map((part) => (part.startsWith(':') ? '[^/]+' : RegExp.escape(part)));
  return new RegExp(`^${parts.join('/')}$`);
}
