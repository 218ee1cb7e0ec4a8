import { Agent, get } from 'node:http';
import { setTimeout as wait } from 'node:timers/promises';
import t from 'tap';
import { Shedding } from '../src/operations/shedding.ts';
import { startApp } from './support/app.ts';
import { emptyDatabase, onEachDatabase } from './support/databases.ts';
import { fetch } from './support/fetch.ts';
import { startService } from './support/service.ts';

interface Seen {
  status: number;
  retryAfter: string | undefined;
}

t.test(
  'more requests than can be served: some get a 503 that says when to come again, and soon it is over',
  async (t) => {
    const { base } = await startService(t, {
      DATABASE_URL: await emptyDatabase(t, 'sqlite'),
      MAX_EVENT_LOOP_DELAY_MS: '50',
    });
    const headers = { 'content-type': 'application/json' };
    const attributes = { text: 'x'.repeat(1000) };
    for (let n = 0; n < 300; n++) {
      const body = JSON.stringify({ name: 'n', email: `u${n}@example.com`, attributes });
      await globalThis.fetch(`${base}/users`, { method: 'POST', headers, body });
    }
    const agent = new Agent({ keepAlive: true, maxSockets: 300 });
    t.teardown(() => agent.destroy());
    const seen: Seen[] = [];
    let over = false;
    const refused = () => seen.filter(({ status }) => status === 503).length;
    const clients = Array.from({ length: 300 }, async () => {
      while (!over) seen.push(await ask(agent, `${base}/users?limit=249`));
    });
    const end = performance.now() + 60_000;
    while (refused() < 100 && performance.now() < end)
      await new Promise((resolve) => setTimeout(resolve, 10));
    t.equal((await ask(agent, `${base}/health/ready`)).status, 200, 'health is told throughout');
    const metrics = await (await fetch(`${base}/metrics`)).text();
    t.match(metrics, /shed_total{reason="event_loop"} [1-9]/, 'and so are the metrics');
    over = true;
    await Promise.all(clients);
    t.ok(refused() >= 100, `${refused()} of ${seen.length} were refused`);
    t.ok(
      seen.some(({ status }) => status === 200),
      'others were served',
    );
    t.ok(seen.every(({ status, retryAfter }) => status === 200 || (status === 503 && retryAfter === '1')));
    const since = performance.now();
    const isServed = async () => {
      const all = await Promise.all(Array.from({ length: 100 }, () => fetch(`${base}/users/1`)));
      return all.every(({ status }) => status === 200);
    };
    while (!(await isServed())) if (performance.now() > end) break;
    const took = performance.now() - since;
    t.ok(took < 5000, `after ${Math.round(took)} ms all are served again`);
  },
);

onEachDatabase(
  'while more writes wait than one transaction takes, and too long, further ones are refused and reads are served',
  async (t, dialect) => {
    const databaseUrl = await emptyDatabase(t, dialect);
    const { app, log } = await startApp(t, dialect, { databaseUrl });
    const base = await app.listen({ host: '127.0.0.1', port: 0 });
    const held = Promise.withResolvers<void>();
    // As many transactions as run at once, one after the other, or they would be one: the next write has to wait.
    const running: Promise<void>[] = [];
    for (let n = 0; n < (dialect === 'sqlite' ? 1 : 2); n++) {
      const begun = Promise.withResolvers<void>();
      running.push(
        app.write(() => {
          begun.resolve();
          return held.promise;
        }),
      );
      await begun.promise;
    }
    const create = (n: number) =>
      fetch(`${base}/users`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ name: 'Ada', email: `ada${n}@example.com` }),
      });
    // What runs in the background may wait among them.
    const asked = Array.from({ length: 90 }, (_, n) => create(n));
    while (app.writeQueue.oldestMs < 1000 || app.writeQueue.length < 90) await wait(20);
    const refused: Response[] = [];
    while (refused.length === 0 && asked.length < 110) {
      const waiting = app.writeQueue.length;
      const one = create(asked.length);
      one.then((answer) => answer.status === 503 && refused.push(answer));
      asked.push(one);
      while (refused.length === 0 && app.writeQueue.length === waiting) await wait(1);
    }
    t.ok(app.writeQueue.length > 100, 'no sooner than that');
    t.ok(asked.length <= 102, 'and no later');
    t.equal(refused[0]?.headers.get('retry-after'), '1');
    t.match(await refused[0]?.json(), { type: 'urn:problem-type:muster:too-busy' });
    t.equal((await fetch(`${base}/users`)).status, 200);
    held.resolve();
    await Promise.all(running);
    const written = (await Promise.all(asked)).filter(({ status }) => status === 201);
    t.equal(written.length, asked.length - refused.length, 'what waited was written');
    while (!log.some(({ msg }) => msg.startsWith('all requests are served again'))) await wait(20);
    t.match(
      log.filter(({ level }) => level === 40),
      [{ msg: /^more requests come/ }, { refused: refused.length }],
      'one line when it begins, one when it is over',
    );
  },
);

t.test('while too many queries wait for a connection to PostgreSQL, all requests are refused', async (t) => {
  const databaseUrl = await emptyDatabase(t, 'postgresql');
  const { app } = await startApp(t, 'postgresql', { databaseUrl });
  const base = await app.listen({ host: '127.0.0.1', port: 0 });
  const queries = Array.from({ length: 220 }, () => app.reader.read('select pg_sleep(1)', []));
  const all = Promise.allSettled(queries);
  t.ok(app.reader.waiting() > 200);
  const answer = await fetch(`${base}/users`);
  t.match(answer, { status: 503 });
  t.equal(answer.headers.get('retry-after'), '1');
  t.match(await answer.json(), { type: 'urn:problem-type:muster:too-busy' });
  t.match(await (await fetch(`${base}/metrics`)).text(), /shed_total{reason="read_queue"} [1-9]/);
  await all;
  t.match(await fetch(`${base}/users`), { status: 200 });
});

t.test('as many are let in at once as there is time for in a turn, while the loop is late', async (t) => {
  const shedding = new Shedding(500);
  let now = Math.ceil(performance.now());
  const window = (requests: number, delayMs: number, workMs = delayMs) => {
    let served = 0;
    for (let n = 0; n < requests; n++) if (!shedding.refuses(0, now)) served++;
    now += 100;
    shedding.measured(delayMs, workMs, now);
    return served;
  };
  /** How many are let in, after turns of so many milliseconds in each of which somebody was refused. */
  const most = (ms: number, turns: number) => {
    for (let n = 0; n < turns; n++) {
      while (inside.length < 999 && !shedding.refuses(0, now)) inside.push(shedding.enters());
      now += ms;
      shedding.turn(now);
    }
    for (const leave of inside.splice(0)) leave();
    while (inside.length < 999 && !shedding.refuses(0, now)) inside.push(shedding.enters());
    const many = inside.length;
    for (const leave of inside.splice(0)) leave();
    return many;
  };
  const inside: (() => void)[] = [];
  for (let n = 0; n < 9; n++) t.equal(window(20, 5000), 20);
  t.notOk(shedding.isLate, 'late for less than a second it may be anything');
  window(50, 5);
  for (let n = 0; n < 20; n++) window(1000, 200, 10);
  t.notOk(shedding.isLate, 'late by what others do is not late');
  window(1000, 5);
  window(199, 90);
  t.equal(window(199, 90), 199, 'fewer than are served at once');
  t.notOk(shedding.isLate);
  t.equal(window(200, 90), 200, 'when it is late, and as many come');
  t.ok(shedding.isLate);

  t.equal(most(90, 1), 140, 'fewer after a turn that is too long');
  t.equal(most(90, 20), 32, 'but always some');
  const one = shedding.enters();
  for (let n = 0; n < 20; n++) {
    now += 10;
    t.ok(shedding.turn(now));
  }
  one();
  t.notOk(shedding.turn(now), 'turns are not watched while nobody is inside');
  t.equal(most(60, 1), 32, 'nor more while nobody is refused: then nothing is known');
  t.equal(most(10, 4), 47, 'a tenth more after each that is shorter');
  shedding.turn(now);
  let late = shedding.refuses(0, now) ? 0 : 1;
  now += 61;
  while (late < 999 && !shedding.refuses(0, now)) late++;
  t.equal(late, 32, 'some, when this turn has been too long already');
  shedding.turn(now);
  while (inside.length < 999 && !shedding.refuses(0, now)) inside.push(shedding.enters());
  inside.pop()?.();
  t.notOk(shedding.refuses(0, now), 'whoever leaves makes room');
  shedding.enters();
  t.ok(shedding.refuses(0, now));
  for (let n = 0; n < 9; n++) window(0, 5);
  now += 1;
  shedding.turn(now);
  t.ok(shedding.refuses(0, now));
  window(4, 5);
  shedding.turn(now);
  t.notOk(shedding.refuses(0, now), 'who takes a second takes nobody else the place');
  const old = inside.splice(0);
  const room = most(20, 1);
  for (const leave of old) leave();
  t.equal(most(20, 1), room, 'nor does it make any when they leave at last');

  for (let n = 0; n < 12; n++) {
    most(5, 1);
    for (let refused = 0; refused < 50; refused++) shedding.refuses(0, now + 100);
    window(0, 5);
  }
  t.ok(shedding.isLate, 'as long as many are refused');
  for (let n = 0; n < 10; n++) window(0, 5);
  t.notOk(shedding.isLate, 'until few have been refused for a second');
  for (let n = 0; n < 10; n++) window(5, 90);
  t.ok(shedding.isLate, 'few heavy requests are too many when it goes on');
  for (let n = 0; n < 20; n++) window(1, 90);
  t.ok(shedding.isLate, 'for as long as it does');

  const behind = new Shedding(0);
  for (let n = 0; n < 300 && !behind.refuses(50, now); n++) inside.push(behind.enters());
  t.equal(inside.length, 300);
  t.equal(behind.refuses(51, now), 'read_queue', 'no more than 200 at once while the database is behind');
  for (const leave of inside.splice(0, 101)) leave();
  t.notOk(behind.refuses(51, now));
  for (let n = 0; n < 9; n++) behind.measured(5000, 5000, now);
  for (let n = 0; n < 200; n++) behind.enters();
  t.equal(behind.refuses(0, now), 'read_queue', 'and for a second after that');
  behind.measured(5000, 5000, now);
  t.notOk(behind.refuses(0, now), 'whoever was refused meanwhile');
  t.equal(new Shedding(0).refuses(201, now), 'read_queue', 'nobody while so many wait');
  for (let n = 0; n < 20; n++) behind.measured(10_000, 10_000, now + n * 10_000);
  const refused = Array.from({ length: 1000 }, () => behind.refuses(0, now + 1e6)).filter(Boolean);
  t.strictSame(refused, [], 'nothing because of the loop, when that is switched off');
});

function ask(agent: Agent, url: string): Promise<Seen> {
  return new Promise((resolve, reject) => {
    get(url, { agent }, (response) => {
      response.resume().once('end', () => {
        resolve({ status: response.statusCode ?? 0, retryAfter: response.headers['retry-after'] });
      });
    }).once('error', reject);
  });
}

t.test(
  'a service that is closed while too much was asked of it leaves nothing behind that runs',
  async (t) => {
    const { app } = await startApp(t, 'sqlite', { maxEventLoopDelayMs: 1 });
    const base = await app.listen({ host: '127.0.0.1', port: 0 });
    const asked: Promise<unknown>[] = [];
    for (const end = performance.now() + 2000; performance.now() < end; ) {
      asked.push(fetch(`${base}/users`));
      for (const until = performance.now() + 50; performance.now() < until; ); // the loop is late
      await wait(1);
    }
    await Promise.all(asked);
    await app.close();
    await wait(50);
    t.notOk(process.getActiveResourcesInfo().includes('Immediate'));
  },
);
