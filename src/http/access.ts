import type { FastifyInstance, FastifyRequest } from 'fastify';
import plugin from 'fastify-plugin';
import { Forbidden, Unauthorized } from '../errors.ts';

/** What a key or a token may do. */
export const SCOPES = [
  'users:read',
  'users:write',
  'changes:read',
  'tasks:read',
  'tasks:write',
  'webhooks',
  'keys',
] as const;
export type Scope = (typeof SCOPES)[number];

/** Who a request is from. */
export interface Access {
  /** As it stands in the log of changes: `key:…`, `jwt:…`, or null when nobody had to say. */
  actor: string | null;
  may(scope: Scope): boolean;
  /** Whether it would still be let in: asked while a request or an answer goes on. */
  stillHolds(): Promise<boolean>;
}

declare module 'fastify' {
  interface FastifyRequest {
    access: Access;
  }
}

/** For a route's `security`: a key or token with this scope. */
export function needs(scope: Scope) {
  return [{ bearer: [scope] }];
}

/** For a route's `security`: whoever can reach it. */
export const ANYBODY: [] = [];

/** @throws {Forbidden} that names the scope */
export function requireScope({ access }: FastifyRequest, scope: Scope): void {
  if (!access.may(scope)) throw tooNarrow(scope);
}

/**
 * What is read or sent piece by piece, for as long as whoever asked would still be let in.
 * @throws {Unauthorized} instead of the next piece or the end
 */
export async function* whileLetIn<T>(
  { access }: FastifyRequest,
  pieces: AsyncIterable<T>,
): AsyncGenerator<T> {
  const look = async () => {
    if (!(await access.stillHolds())) throw wrongKey();
  };
  for await (const piece of pieces) {
    await look();
    yield piece;
  }
  await look();
}

/** RFC 6750 §3.1. */
export function tooNarrow(scope: Scope): Forbidden {
  return new Forbidden(
    'insufficient-scope',
    `This needs the scope ${scope}.`,
    `Bearer error="insufficient_scope", scope="${scope}"`,
  );
}

/** RFC 6750 §3.1. It does not say what is wrong: who guesses shall not learn. */
export function wrongKey(): Unauthorized {
  return new Unauthorized(
    'invalid-key',
    'The key or token in Authorization is unknown, expired or revoked.',
    'Bearer error="invalid_token"',
  );
}

export function noKey(): Unauthorized {
  return new Unauthorized('no-key', 'This needs a key or token: Authorization: Bearer ….', 'Bearer');
}

/** Whoever adds a route says who may use it, or the service does not start. */
export default plugin(
  async (app: FastifyInstance) => {
    app.decorateRequest('access', null as never);
    app.addHook('onRoute', ({ method, url, schema }) => {
      if (schema?.security === undefined && schema?.hide !== true) {
        throw new Error(`${method} ${url} does not say who may use it`);
      }
    });
  },
  { name: 'access' },
);
