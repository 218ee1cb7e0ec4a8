import type { FastifyInstance } from 'fastify';
import plugin from 'fastify-plugin';
import { onceEnded } from './ended.ts';

/**
 * One line for each request, with its id and its route, never with a query or an address: those hold personal data.
 * A database error carries the statement with the values in it, so of an error only class, code and place are logged.
 */
export const loggerOptions = {
  serializers: {
    err(error: Error & { code?: string }) {
      const cause = error.cause instanceof Error ? error.cause : undefined;
      const isDatabase = 'sqlMessage' in error || /Exception$/.test(error.name);
      return {
        type: error.name,
        code: error.code,
        message: isDatabase ? (cause?.message ?? 'a statement failed') : error.message,
        stack: isDatabase ? stackOnly(error) : (error.stack ?? ''),
        ...(cause !== undefined && !isDatabase && { cause: cause.message }),
      };
    },
  },
};

function stackOnly(error: Error): string {
  return (error.stack ?? '')
    .split('\n')
    .filter((line) => /^\s+at /.test(line))
    .join('\n');
}

export default plugin(
  async (app: FastifyInstance) => {
    onceEnded(app, (request, reply, status) => {
      // Somebody asks for these every few seconds, for ever.
      const isRoutine = request.routeOptions.config.essential === true && status < 400;
      request.log[isRoutine ? 'debug' : 'info'](
        {
          method: request.method,
          route: request.routeOptions.url ?? '(unknown)',
          status,
          ms: Math.round(reply.elapsedTime * 10) / 10,
        },
        'request',
      );
    });
  },
  { name: 'logging' },
);
