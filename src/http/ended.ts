import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';

/** Stands for the status of a request whose connection was broken off before the answer had gone, as with nginx. */
export const CUT = 499;

/**
 * Tells of each request when it is over: when its answer has gone, or its client has. Of the latter Fastify's own
 * `onResponse` does not know. An event stream has no other end than that, and is no cut.
 */
export function onceEnded(
  app: FastifyInstance,
  tell: (request: FastifyRequest, reply: FastifyReply, status: number) => void,
): void {
  app.addHook('onRequest', (request, reply, done) => {
    const { raw } = reply;
    raw.on('close', () => {
      // When an answer has gone, it has no socket any more.
      const isCut = raw.socket?.destroyed === true && !request.isStream;
      tell(request, reply, isCut ? CUT : reply.statusCode);
    });
    done();
  });
}
