import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { exportJWK, exportSPKI, generateKeyPair, type JWTPayload, SignJWT } from 'jose';
import t, { type Test } from 'tap';
import { startApp } from './support/app.ts';
import { failService } from './support/service.ts';

const AUDIENCE = 'muster';

/** An OpenID provider on this machine: its configuration, and its keys. */
async function startIssuer(test: Test) {
  const { publicKey, privateKey } = await generateKeyPair('ES256', { extractable: true });
  const jwk = { ...(await exportJWK(publicKey)), kid: 'one', alg: 'ES256', use: 'sig' };
  let isAway = false;
  const server = createServer(({ url }, response) => {
    if (isAway) return response.writeHead(500).end();
    const body = url === '/jwks' ? { keys: [jwk] } : { issuer, jwks_uri: `${issuer}/jwks` };
    response.setHeader('content-type', 'application/json').end(JSON.stringify(body));
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  test.teardown(() => server.close());
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    issuer,
    publicKey,
    away(is: boolean) {
      isAway = is;
    },
    token(
      payload: JWTPayload = {},
      key = privateKey,
      header: { alg: string; kid?: string } = { alg: 'ES256', kid: 'one' },
    ) {
      const now = Math.floor(Date.now() / 1000);
      const claims = {
        iss: issuer,
        aud: AUDIENCE,
        sub: 'ada',
        iat: now,
        exp: now + 60,
        scope: 'openid users:read',
      };
      return new SignJWT({ ...claims, ...payload }).setProtectedHeader(header).sign(key);
    },
  };
}

t.test('a token of the issuer lets in with the scopes of its claim, and nothing else does', async (t) => {
  const issuer = await startIssuer(t);
  const { request } = await startApp(t, 'sqlite', { jwt: { issuer: issuer.issuer, audience: AUDIENCE } });
  const ask = async (token: string, method: 'GET' | 'POST' = 'GET') => {
    const headers = { authorization: `Bearer ${token}` };
    const json = { name: 'n', email: 'n@example.com' };
    return request(method, '/users', { headers, ...(method === 'POST' && { json }) });
  };
  issuer.away(true);
  t.equal((await ask(await issuer.token())).status, 503, 'the issuer is away');
  issuer.away(false);
  t.equal((await ask(await issuer.token())).status, 200);
  const narrow = await ask(await issuer.token(), 'POST');
  t.equal(narrow.status, 403);
  t.match(narrow.headers['www-authenticate'], /scope="users:write"/);
  t.equal((await ask(await issuer.token({ scope: 'users:read users:write' }), 'POST')).status, 201);
  const own = { authorization: `Bearer ${await issuer.token({ scope: 'changes:read' })}` };
  const [change] = (await request('GET', '/changes', { headers: own })).json<{ actor: string }[]>();
  t.equal(change?.actor, 'jwt:ada');
  const ended = {
    authorization: `Bearer ${await issuer.token({ exp: Math.floor(Date.now() / 1000) - 10 })}`,
  };
  const exported = await request('GET', '/users/export', { headers: ended });
  t.match([exported.status, exported.text], [200, /n@example\.com/], 'clocks may differ to the end');

  const past = Math.floor(Date.now() / 1000) - 120;
  const stranger = await generateKeyPair('ES256');
  const secret = new TextEncoder().encode(await exportSPKI(issuer.publicKey));
  const wrong: Record<string, string> = {
    'of another audience': await issuer.token({ aud: 'another' }),
    'of another issuer': await issuer.token({ iss: 'https://other.example' }),
    expired: await issuer.token({ exp: past }),
    'not good yet': await issuer.token({ nbf: past + 600 }),
    'without an end': await issuer.token({ exp: undefined as never }),
    'by another key': await issuer.token({}, stranger.privateKey),
    'by a key that nobody knows': await issuer.token({}, stranger.privateKey, { alg: 'ES256', kid: 'two' }),
    'signed with the public key as a secret': await issuer.token({}, secret as never, {
      alg: 'HS256',
      kid: 'one',
    }),
    unsigned: `${Buffer.from('{"alg":"none"}').toString('base64url')}.${(await issuer.token()).split('.')[1]}.`,
    'no token': 'abc',
    'an unknown key': `mk_${'a'.repeat(12)}_${'b'.repeat(43)}`,
  };
  for (const [what, token] of Object.entries(wrong)) t.equal((await ask(token)).status, 401, what);
  t.equal((await request('GET', '/users')).status, 401, 'with an issuer the service is never open');
});

t.test('where others can reach it, the service does not start without a key or an issuer', async (t) => {
  const env = { DATABASE_URL: 'sqlite::memory:', HOST: '0.0.0.0' };
  const { code, output } = await failService(t, env);
  t.equal(code, 1);
  t.match(output, /HOST=0\.0\.0\.0 can be reached from elsewhere, and there is no key yet: .*keys create/);
  for (const half of [{ JWT_ISSUER: 'https://issuer.example' }, { JWT_AUDIENCE: 'muster' }] as Record<
    string,
    string
  >[]) {
    t.match((await failService(t, { ...env, ...half })).output, /go together/);
  }
});
