import { Unavailable } from '../errors.ts';
import { type Access, SCOPES, type Scope, wrongKey } from '../http/access.ts';

export interface JwtSettings {
  /** The `iss` of the tokens; its OpenID configuration says where its keys are (OpenID Connect Discovery §4). */
  issuer: string;
  audience: string;
}

/** Signatures by a public key only: a secret that both sides know would let this service make tokens. */
const ALGORITHMS = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA'];
const DISCOVERY_MS = 5000;
/** How far the clocks of the issuer and of this machine may be apart. */
const CLOCK_TOLERANCE_S = 30;

/** Access by the tokens of an OpenID provider (RFC 7519, RFC 9068), their scopes from the claim `scope`. */
export function tokensOf({ issuer, audience }: JwtSettings) {
  let loaded: ReturnType<typeof discover> | undefined;
  return async (token: string): Promise<Access> => {
    loaded ??= discover(issuer);
    const verify = await loaded.catch((error) => {
      loaded = undefined; // and again with the next request
      throw issuerAway(error);
    });
    const { sub, exp, scope } = await verify(token, { issuer, audience });
    const scopes = new Set((typeof scope === 'string' ? scope : '').split(' ').filter(isScope));
    return {
      actor: `jwt:${sub}`,
      may: (one) => scopes.has(one),
      stillHolds: async () => exp !== undefined && (exp + CLOCK_TOLERANCE_S) * 1000 > Date.now(),
    };
  };
}

/** The library is loaded for the first token, not at the start. */
async function discover(issuer: string) {
  const { createRemoteJWKSet, errors, jwtVerify } = await import('jose');
  const url = `${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`;
  const answer = await fetch(url, { signal: AbortSignal.timeout(DISCOVERY_MS), redirect: 'error' });
  if (!answer.ok) throw new Error(`${url} answers ${answer.status}`);
  const { issuer: named, jwks_uri: jwks } = (await answer.json()) as { issuer?: string; jwks_uri?: string };
  if (named !== issuer) throw new Error(`${url} is of ${named} (OpenID Connect Discovery §4.3)`);
  const keys = createRemoteJWKSet(new URL(jwks ?? ''), { timeoutDuration: DISCOVERY_MS });
  return async (token: string, settings: JwtSettings) => {
    try {
      const { payload } = await jwtVerify(token, keys, {
        ...settings,
        algorithms: ALGORITHMS,
        clockTolerance: CLOCK_TOLERANCE_S,
        requiredClaims: ['exp', 'sub'],
      });
      return payload;
    } catch (error) {
      // An answer of the issuer that is no set of keys is not the token's fault.
      const code = error instanceof errors.JOSEError ? error.code : 'ERR_JOSE_GENERIC';
      const isAway = ['ERR_JOSE_GENERIC', 'ERR_JWKS_TIMEOUT', 'ERR_JWKS_INVALID'].includes(code);
      throw isAway ? issuerAway(error) : wrongKey();
    }
  };
}

function isScope(text: string): text is Scope {
  return (SCOPES as readonly string[]).includes(text);
}

function issuerAway(cause: unknown): Unavailable {
  const refusal = new Unavailable(
    'issuer-away',
    'The keys of the tokens’ issuer cannot be read at the moment.',
  );
  refusal.cause = cause;
  return refusal;
}
