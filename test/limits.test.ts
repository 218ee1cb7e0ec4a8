import t from 'tap';
import { createKey } from '../src/keys/keys.ts';
import { Rate } from '../src/operations/rate.ts';
import { startApp } from './support/app.ts';
import { Follower } from './support/follow.ts';

t.test('who asks too often is told so, and when to come again; others are not affected', async (t) => {
  const { app } = await startApp(t, 'sqlite', { rateLimitPerSecond: 5 });
  const from = (remoteAddress: string, url = '/users') => app.inject({ url, remoteAddress });
  const first = await from('203.0.113.7');
  t.match(first.headers, { 'ratelimit-policy': '"client";q=5;w=1', ratelimit: '"client";r=4;t=1' });
  const answers = await Promise.all(Array.from({ length: 10 }, () => from('203.0.113.7')));
  const refused = answers.find(({ statusCode }) => statusCode === 429);
  t.match(refused, { headers: { 'retry-after': '1', ratelimit: '"client";r=0;t=1' } });
  t.match(refused?.json(), { type: 'urn:problem-type:muster:rate-limit' });
  t.equal((await from('203.0.113.8')).statusCode, 200);
  const health = await from('203.0.113.7', '/health/live');
  t.equal(health.statusCode, 200, 'health is always told');
  t.notOk('ratelimit' in health.headers);
});

t.test('a key has its own limit, whatever its address, and guessing one is limited, too', async (t) => {
  const { app, request } = await startApp(t, 'sqlite', { rateLimitPerSecond: 3 });
  const key = async (name: string) =>
    (await app.write((tx) => createKey(tx, { name, scopes: ['users:read'] }))).key;
  const [one, two] = [await key('one'), await key('two')];
  const ask = (bearer: string) =>
    request('GET', '/users', { headers: { authorization: `Bearer ${bearer}` } }).then(({ status }) => status);
  const statuses = await Promise.all([one, one, one, one, one, two].map(ask));
  t.strictSame(statuses.slice(0, 5).sort(), [200, 200, 200, 429, 429]);
  t.equal(statuses[5], 200);
  const guesses: number[] = [];
  // Many at once: one after the other they may be too slow for the limit.
  for (let tries = 0; tries < 50 && !guesses.includes(429); tries++)
    guesses.push(...(await Promise.all(Array.from({ length: 8 }, () => ask('mk_000000000000_wrong')))));
  t.equal(guesses[0], 401);
  t.ok(guesses.includes(429), String(guesses));
});

t.test('one client may have so many streams, and one more when one is closed', async (t) => {
  const { app, request } = await startApp(t, 'sqlite', { maxStreamsPerClient: 2 });
  const base = await app.listen({ port: 0 });
  const streams = [new Follower(base, '/changes'), new Follower(base, '/changes')];
  for (const stream of streams) t.equal((await stream.answered).statusCode, 200);
  const further = new Follower(base, '/changes');
  const answer = await further.answered;
  t.match(answer, { statusCode: 429, headers: { 'retry-after': '1' } });
  t.equal((await request('GET', '/changes')).status, 200, 'pages are no streams');
  streams[0]?.cut();
  for (;;) {
    const again = new Follower(base, '/changes');
    const { statusCode } = await again.answered;
    again.cut();
    if (statusCode === 200) break;
  }
  streams[1]?.cut();
});

t.test('the rate is kept over any time, and what is over is forgotten', async (t) => {
  const rate = new Rate(10);
  let allowed = 0;
  for (let ms = 0; ms < 10_000; ms++) if (rate.take('busy', ms).allowed) allowed++;
  t.ok(allowed >= 108 && allowed <= 111, `${allowed} in ten seconds: ten at once, and ten a second`);
  t.notOk(rate.isOver('other', 10_000));
  for (let n = 0; n < 1000; n++) rate.take(`c${n}`, 10_000);
  rate.take('late', 11_500);
  rate.take('later', 13_600);
  t.equal(rate.size, 1);
});
