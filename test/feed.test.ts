import t, { type Test } from 'tap';
import { Feed } from '../src/changes/feed.ts';
import type { DialectName } from '../src/db/url.ts';
import type { EventSink } from '../src/http/sse.ts';
import { createUser } from '../src/users/users.ts';
import { startApp, type TestApp } from './support/app.ts';
import { emptyDatabase, onEachDatabase } from './support/databases.ts';
import { Follower } from './support/follow.ts';
import { wholeLog } from './support/log.ts';

async function listen(test: Test, dialect: DialectName, overrides: { databaseUrl?: string } = {}) {
  const app = await startApp(test, dialect, overrides);
  const base = await app.app.listen({ host: '127.0.0.1', port: 0 });
  const follow = (path: string, headers?: Record<string, string>) => {
    const follower = new Follower(base, path, headers);
    test.teardown(() => follower.cut());
    return follower;
  };
  return { ...app, base, follow };
}

let made = 0;
function create({ app }: Pick<TestApp, 'app'>, many: number) {
  return Promise.all(
    Array.from({ length: many }, () =>
      app.write((tx) => createUser(tx, { name: `n${++made}`, email: `u${made}@example.com` })),
    ),
  );
}

onEachDatabase(
  'who follows sees every change once, in order, from the moment on that the first event names',
  async (t, dialect) => {
    const app = await listen(t, dialect);
    await create(app, 3);
    const [, , third] = await wholeLog(app);
    const follower = app.follow('/changes');
    const { headers } = await follower.answered;
    t.match(headers['content-type'], /^text\/event-stream/);
    t.equal(headers['muster-position'], String(third?.position));
    await follower.until(({ events }) => events.length === 1);
    t.strictSame(follower.events, [
      { id: String(third?.position), event: 'position', data: { position: third?.position } },
    ]);

    await app.request('PATCH', '/users/1', { json: { name: 'New' } });
    await app.request('DELETE', '/users/2');
    await create(app, 40);
    await follower.until(({ changes }) => changes.length === 42);
    const log = await wholeLog(app);
    t.strictSame(follower.changes, log.slice(3));
    t.strictSame(
      follower.events.slice(1).map(({ id, event }) => [id, event]),
      log.slice(3).map(({ position, type }) => [String(position), type]),
    );
  },
);

onEachDatabase('a stream goes on strictly after the last event that has arrived', async (t, dialect) => {
  const app = await listen(t, dialect);
  await create(app, 6);
  const log = await wholeLog(app);
  const rest = async (path: string, headers: Record<string, string>, from: number) => {
    const follower = app.follow(path, headers);
    await follower.until(({ changes }) => changes.length === log.length - from);
    t.strictSame(follower.changes, log.slice(from), path);
    follower.cut();
  };
  await rest(`/changes?after=${log[1]?.position}`, {}, 2);
  await rest('/changes', { 'last-event-id': String(log[3]?.position) }, 4);
  await rest('/changes?after=0', { 'last-event-id': String(log[3]?.position) }, 4);
  await rest('/changes?after=0', {}, 0);

  const beyond = Number(log.at(-1)?.position) + 1;
  const events = { accept: 'text/event-stream' };
  t.equal((await app.request('GET', `/changes?after=${beyond}`, { headers: events })).status, 410);
  const bad = await app.request('GET', '/changes', { headers: { ...events, 'last-event-id': 'x' } });
  t.equal(bad.status, 400);
});

onEachDatabase(
  'a stream that is far behind catches up while writes go on, and has no hole where the two meet',
  async (t, dialect) => {
    const app = await listen(t, dialect);
    for (let round = 0; round < 30; round++) await create(app, 100);
    const all = app.follow('/changes?after=0');
    const some = app.follow('/changes?after=0&types=user.deleted,user.updated');
    for (let round = 0; round < 20; round++) {
      await create(app, 20);
      await app.request('DELETE', `/users/${1 + round}`);
    }
    await all.until(({ changes }) => changes.length === 3420);
    const log = await wholeLog(app);
    t.strictSame(
      all.changes.map(({ position }) => position),
      log.map(({ position }) => position),
    );
    await some.until(({ changes }) => changes.length === 20);
    t.strictSame(
      some.changes.map(({ userId, type }) => [userId, type]),
      Array.from({ length: 20 }, (_, at) => [1 + at, 'user.deleted']),
    );
  },
);

t.test('on PostgreSQL a stream of one replica shows what another has written', async (t) => {
  const databaseUrl = await emptyDatabase(t, 'postgresql');
  const one = await listen(t, 'postgresql', { databaseUrl });
  const two = await listen(t, 'postgresql', { databaseUrl });
  const follower = one.follow('/changes');
  await follower.until(({ events }) => events.length === 1);
  await Promise.all([create(one, 30), create(two, 30), create(one, 30), create(two, 30)]);
  await follower.until(({ changes }) => changes.length === 120);
  t.strictSame(follower.changes, await wholeLog(two));
});

onEachDatabase(
  'a client that does not take what it is given is cut, and nothing more is written for it',
  async (t, dialect) => {
    const app = await startApp(t, dialect);
    const feed = new Feed(app.app.reader, app.app.bell, app.app.log, 50);
    t.teardown(() => feed.stop());
    const cut = Promise.withResolvers<void>();
    const written: string[] = [];
    const sink: EventSink = {
      closed: false,
      get taken() {
        return written.length < 2;
      },
      write: (frames) => void (frames.length > 0 && written.push(String(frames))),
      whenTaken: async () => true,
      end() {},
      cut: cut.resolve,
    };
    feed.follow(sink, new AbortController().signal, 0);
    for (let round = 0; round < 5; round++) await create(app, 2);
    await cut.promise;
    t.equal(written.length, 2, 'the position, and one piece');
  },
);

onEachDatabase('streams end when the service ends', async (t, dialect) => {
  const app = await listen(t, dialect);
  const followers = Array.from({ length: 5 }, () => app.follow('/changes'));
  for (const follower of followers) await follower.until(({ events }) => events.length === 1);
  await app.app.close();
  for (const follower of followers) await follower.ended;
  t.pass('and do not hold it up');
});
