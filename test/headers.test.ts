import { connect } from 'node:net';
import t from 'tap';
import { addressKey } from '../src/http/client.ts';
import { startApp } from './support/app.ts';
import { Follower } from './support/follow.ts';

const SECURE = {
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'referrer-policy': 'no-referrer',
};

t.test(
  'every answer has the security headers: refusals, streams and what is no HTTP among them',
  async (t) => {
    const { app, request } = await startApp(t, 'sqlite');
    for (const url of [
      '/users',
      '/users/1',
      '/nowhere',
      '/users/%ff',
      '/docs',
      '/health/live',
      '/users?x=1',
    ]) {
      const { headers } = await request('GET', url);
      t.match(headers, { ...SECURE, 'content-security-policy': /frame-ancestors 'none'/ }, url);
      t.notOk('strict-transport-security' in headers);
      t.notOk('access-control-allow-origin' in headers);
    }
    t.match(
      (await request('GET', '/docs')).headers['content-security-policy'],
      /script-src 'self'/,
      'its own policy',
    );
    const base = await app.listen({ port: 0 });
    const stream = new Follower(base, '/changes');
    t.match((await stream.answered).headers, SECURE);
    stream.cut();
    for (const text of [
      'NO HTTP\r\n\r\n',
      'POST /users HTTP/1.1\r\nHost: localhost\r\nExpect: much\r\n\r\n',
    ]) {
      const socket = connect(Number(new URL(base).port), '127.0.0.1');
      socket.write(text);
      const answer = String(await new Promise((resolve) => socket.once('data', resolve)));
      t.match(answer, /x-content-type-options: nosniff/i, text);
      socket.destroy();
    }
  },
);

t.test('only who came by TLS, as a trusted proxy says, is told to keep to it', async (t) => {
  const forwarded = { 'x-forwarded-proto': 'https', 'x-forwarded-for': '203.0.113.7' };
  const trusting = await startApp(t, 'sqlite', { trustProxy: ['127.0.0.0/8'] });
  const told = await trusting.request('GET', '/users', { headers: forwarded });
  t.match(told.headers['strict-transport-security'], /^max-age=\d+$/);
  for (const trustProxy of [[], ['10.0.0.0/8']]) {
    const { request } = await startApp(t, 'sqlite', { trustProxy });
    const { headers } = await request('GET', '/users', { headers: forwarded });
    t.notOk('strict-transport-security' in headers, 'whoever can send a header is not believed');
  }
});

t.test('pages of the origins that are listed may ask and read, all others may not', async (t) => {
  const origin = 'https://app.example';
  const { request } = await startApp(t, 'sqlite', { corsOrigins: [origin] });
  const preflight = { 'access-control-request-method': 'PATCH' };
  const allowed = await request('OPTIONS', '/users/1', { headers: { origin, ...preflight } });
  t.equal(allowed.status, 204);
  t.match(allowed.headers, {
    'access-control-allow-origin': origin,
    'access-control-allow-methods': /PATCH/,
    'access-control-allow-headers': /Authorization/,
    vary: 'Origin',
  });
  t.notOk('access-control-allow-credentials' in allowed.headers);
  const refused = await request('OPTIONS', '/users/1', {
    headers: { origin: 'https://evil.example', ...preflight },
  });
  t.notOk('access-control-allow-origin' in refused.headers);
  t.equal(refused.headers.vary, 'Origin', 'and no cache takes one answer for the other');
  const read = await request('GET', '/health/live', { headers: { origin } });
  t.match(read.headers, {
    'access-control-allow-origin': origin,
    'access-control-expose-headers': /ETag.*Link.*Muster-Position/,
  });
});

t.test('a client is an address, or the network of one of IPv6', async (t) => {
  const same: [string, string][] = [
    ['203.0.113.7', '203.0.113.7'],
    ['::ffff:203.0.113.7', '203.0.113.7'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
    ['2001:0db8:1:2::9', '2001:db8:1:2::/64'],
    ['2001:db8::1', '2001:db8:0:0::/64'],
    ['::1', '0:0:0:0::/64'],
    ['fe80::1%eth0', 'fe80:0:0:0::/64'],
    ['64:ff9b::203.0.113.7', '64:ff9b:0:0::/64'],
  ];
  for (const [ip, key] of same) t.equal(addressKey({ ip } as never), key);
});
