import type { FastifyInstance, FastifyReply } from 'fastify';
import plugin from 'fastify-plugin';
import { TooMany } from '../errors.ts';
import { addressKey, limitKey } from '../http/client.ts';
import { Rate, type Standing } from './rate.ts';

/**
 * How often one client may ask, told in the headers of draft-ietf-httpapi-ratelimit-headers. A client is a key or token,
 * and an address only where there is none: many may share that. Whoever fails to name a key that holds is counted by
 * address before it is looked for, so that guessing is no way around the limit. Each replica counts by itself.
 */
export default plugin(
  async (app: FastifyInstance, { perSecond }: { perSecond: number }) => {
    if (perSecond === 0) return;
    const requests = new Rate(perSecond);
    const failures = new Rate(perSecond);
    let refused = 0;
    const refuse = (reply: FastifyReply): TooMany => {
      refused++;
      tell(reply, perSecond, { allowed: false, remaining: 0, resetSeconds: 1 });
      return new TooMany('rate-limit', `One client may make ${perSecond} requests a second.`);
    };

    app.addHook('onRequest', (request, reply, done) => {
      if (request.routeOptions.config.essential === true || !failures.isOver(addressKey(request)))
        return done();
      done(refuse(reply));
    });
    // After all `onRequest`: only then it is known who asks.
    app.addHook('preParsing', (request, reply, payload, done) => {
      if (request.routeOptions.config.essential === true) return done(null, payload);
      const standing = requests.take(limitKey(request));
      if (!standing.allowed) return done(refuse(reply));
      tell(reply, perSecond, standing);
      done(null, payload);
    });
    app.addHook('onResponse', (request, reply, done) => {
      if (reply.statusCode === 401) failures.take(addressKey(request));
      done();
    });
    app.metrics.counter(
      'muster_requests_limited_total',
      'Requests that were refused because one client made too many.',
      () => refused,
    );
  },
  { name: 'limits', dependencies: ['edge', 'metrics'] },
);

function tell(reply: FastifyReply, perSecond: number, { remaining, resetSeconds }: Standing): void {
  reply
    .header('ratelimit-policy', `"client";q=${perSecond};w=1`)
    .header('ratelimit', `"client";r=${remaining};t=${resetSeconds}`);
}
