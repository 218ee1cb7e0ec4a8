import type { FastifyInstance } from 'fastify';
import plugin from 'fastify-plugin';

/**
 * What every answer says to a browser: take it for what it says it is, show it in no frame, load nothing for it, and do
 * not tell others where you were. The page of the docs has a policy of its own.
 */
export const SECURITY_HEADERS = {
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  'referrer-policy': 'no-referrer',
};

/** A year. Only to those who came by TLS, which ends at a proxy of `TRUST_PROXY`: others may have none. */
const TRANSPORT = 'max-age=31536000';

/** What a page of another origin may read of an answer, besides its body. */
const EXPOSED =
  'ETag, Link, Location, Retry-After, Accept-Patch, Idempotent-Replayed, Muster-Epoch, Muster-Position, ' +
  'Preference-Applied, RateLimit, RateLimit-Policy, WWW-Authenticate';

/** What it may send. */
const ASKED = 'Authorization, Content-Type, If-Match, If-None-Match, Idempotency-Key, Last-Event-ID, Prefer';

/**
 * The first of all hooks, so that refusals have these headers as well; event streams take them over. Pages of the origins
 * that are listed may ask and read (CORS, https://fetch.spec.whatwg.org/#http-cors-protocol), never with cookies.
 */
export default plugin(
  async (app: FastifyInstance, { corsOrigins }: { corsOrigins: readonly string[] }) => {
    const origins = new Set(corsOrigins);
    app.addHook('onRequest', (request, reply, done) => {
      reply.headers(SECURITY_HEADERS);
      if (request.protocol === 'https') reply.header('strict-transport-security', TRANSPORT);
      if (origins.size === 0) return done();
      reply.header('vary', 'Origin'); // a cache must not give one origin what was said to another
      const { origin } = request.headers;
      if (origin === undefined || !origins.has(origin)) return done();
      reply.header('access-control-allow-origin', origin).header('access-control-expose-headers', EXPOSED);
      if (request.method === 'OPTIONS' && 'access-control-request-method' in request.headers) {
        // `methods` answers, and knows whether there is such a path.
        reply
          .header('access-control-allow-methods', 'GET, HEAD, POST, PATCH, DELETE')
          .header('access-control-allow-headers', ASKED)
          .header('access-control-max-age', 7200);
      }
      done();
    });
  },
  { name: 'headers' },
);
