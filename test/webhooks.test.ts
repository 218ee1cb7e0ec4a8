import type { ServerResponse } from 'node:http';
import { setTimeout as wait } from 'node:timers/promises';
import { Webhook } from 'standardwebhooks';
import t from 'tap';
import type { Tx } from '../src/db/tx.ts';
import { WriteQueue } from '../src/db/writes.ts';
import { startApp } from './support/app.ts';
import { emptyDatabase, onEachDatabase } from './support/databases.ts';
import { wholeLog } from './support/log.ts';
import { isSignedBy, LOCAL, type Received, startReceiver } from './support/receiver.ts';
import { settled } from './support/tasks.ts';
import {
  addUser,
  deliveriesOf,
  findWebhook,
  letTimePass,
  makeWebhook,
  tryAgainAt,
  webhookWhen,
} from './support/webhooks.ts';

/** The positions of one user's changes in the order in which they came. */
const positionsOf = (received: readonly Received[], userId: number) =>
  received.filter(({ body }) => body.data.userId === userId).map(({ body }) => body.data.position);

onEachDatabase('a change is pushed, signed by the rules of Standard Webhooks', async (t, dialect) => {
  const receiver = await startReceiver(t);
  const muster = await startApp(t, dialect, LOCAL);
  await addUser(muster, 'before');
  const made = await makeWebhook(muster, receiver.url);
  const userId = await addUser(muster, 'Ada');
  const [message] = await receiver.until((all) => all.length > 0);
  const [change] = (await muster.request('GET', '/changes?after=1')).json<{ at: string }[]>();
  t.strictSame(message?.body, { type: 'user.created', timestamp: change?.at, data: change });
  t.match(message, {
    id: `msg_${made.id}_2`,
    path: '/hook?from=muster',
    body: { data: { userId } },
    headers: { 'content-type': 'application/json', 'user-agent': 'Muster' },
  });
  if (message === undefined) return;
  t.ok(isSignedBy(made.secret, message), 'by an independent reading of the rules');
  t.notOk(isSignedBy(made.secret, { ...message, text: `${message.text} ` }), 'which notices a blank');
  const verifier = new Webhook(made.secret);
  const headers = message.headers as Record<string, string>;
  t.strictSame(verifier.verify(message.text, headers), message.body, 'and by their own library');
  t.match(await webhookWhen(muster, made.id, ({ position }) => position === 2), { enabled: true });
});

onEachDatabase(
  'the changes of one user arrive in order, those of many side by side, each once',
  async (t, dialect) => {
    let atOnce = 0;
    let most = 0;
    const second = Promise.withResolvers<void>();
    const receiver = await startReceiver(t, async (_message, response) => {
      most = Math.max(most, ++atOnce);
      if (most > 1) second.resolve();
      else await Promise.race([second.promise, wait(200)]);
      setImmediate(() => {
        atOnce--;
        response.writeHead(200).end('thanks');
      });
    });
    const muster = await startApp(t, dialect, LOCAL);
    const { id } = await makeWebhook(muster, receiver.url);
    const users = await Promise.all(Array.from({ length: 25 }, (_, n) => addUser(muster, `u${n}`, 9)));
    await receiver.until((all) => all.length >= 250);
    for (const user of users) {
      const positions = positionsOf(receiver.received, user);
      t.strictSame(
        positions,
        positions.toSorted((a, b) => a - b),
        `those of user ${user}`,
      );
    }
    t.equal(new Set(receiver.received.map((one) => one.id)).size, 250, 'every change');
    t.equal(receiver.received.length, 250, 'and none twice');
    t.ok(most > 1 && most <= 10, `at most ten at once: ${most}`);
    await webhookWhen(muster, id, ({ position }) => position === 250);
    const tasks = (await muster.request('GET', '/tasks?kind=deliver')).json<unknown[]>();
    t.ok(tasks.length <= 3, `a steady flow is one task: ${tasks.length}`);
  },
);

onEachDatabase('it is sent its types only, and is never behind for the others', async (t, dialect) => {
  const receiver = await startReceiver(t);
  const muster = await startApp(t, dialect, LOCAL);
  const { id } = await makeWebhook(muster, receiver.url, { types: ['user.deleted'] });
  const user = await addUser(muster, 'Ada', 3);
  await muster.request('DELETE', `/users/${user}`);
  await addUser(muster, 'Grace');
  await webhookWhen(muster, id, ({ position }) => position === 6);
  t.match(receiver.received, [{ body: { type: 'user.deleted', data: { position: 5 } } }]);
  await muster.request('PATCH', `/webhooks/${id}`, { json: { types: null } });
  await addUser(muster, 'Mary');
  await receiver.until((all) => all.length === 2);
  t.match(receiver.received[1], { body: { type: 'user.created' } });
});

onEachDatabase(
  'a change that is refused is sent again under its id, and holds up its user only',
  async (t, dialect) => {
    let broken = true;
    const receiver = await startReceiver(t, ({ body }, response) => {
      response.writeHead(broken && body.data.userId === 1 ? 500 : 204).end();
    });
    const muster = await startApp(t, dialect, LOCAL);
    const { id } = await makeWebhook(muster, receiver.url);
    const [ada, grace] = [await addUser(muster, 'Ada', 2), await addUser(muster, 'Grace', 1)];
    const failing = await webhookWhen(muster, id, (one) => one.retryAt !== undefined);
    t.match(failing, { position: 0, lastError: 'The receiver answered 500.', failingSince: String });
    const again = Date.parse(failing.retryAt ?? '');
    const waits = again - Date.parse(failing.failingSince ?? '');
    t.ok(waits >= 4500 && again - Date.now() <= 5500, `again after 5 s: ${waits}`);
    // However long what follows takes, it is not time yet.
    await tryAgainAt(muster.app, new Date(Date.now() + 3_600_000));
    await receiver.until((all) => positionsOf(all, grace).length === 2);
    const mary = await addUser(muster, 'Mary', 1);
    await receiver.until((all) => positionsOf(all, mary).length === 2);
    t.strictSame(
      positionsOf(receiver.received, ada),
      [1],
      'what is held is not hammered, whatever others do',
    );
    const from = Date.now();
    await letTimePass(muster.app);
    await receiver.until((all) => positionsOf(all, ada).length === 2);
    const later = await webhookWhen(muster, id, ({ retryAt = '' }) => Date.parse(retryAt) - from > 20_000);
    t.ok(Date.parse(later.retryAt ?? '') - Date.now() <= 33_000, 'then after 30 s');
    broken = false;
    await letTimePass(muster.app);
    const good = await webhookWhen(muster, id, (now) => now.position === 7 && !('failingSince' in now));
    t.notOk('failingSince' in good || 'lastError' in good || 'retryAt' in good, 'and all is well');
    t.strictSame(positionsOf(receiver.received, ada), [1, 1, 1, 2, 3]);
    const ofFirst = receiver.received.filter(({ body }) => body.data.position === 1);
    t.strictSame([...new Set(ofFirst.map((one) => one.id))], [`msg_${id}_1`], 'one id');
    t.strictSame([...new Set(ofFirst.map((one) => one.text))].length, 1, 'and the same bytes');
    t.strictSame(positionsOf(receiver.received, grace).length, 2, 'nothing else was sent twice');
    const ofAda = (await deliveriesOf(muster, id)).filter(({ position }) => position === 1);
    t.match(ofAda.at(-1), { status: 500, error: /500/ });
  },
);

onEachDatabase('a receiver that is dead or slow delays no other, and no task', async (t, dialect) => {
  const slow = await startReceiver(t, () => {}); // it never answers
  const dead = await startReceiver(t);
  await dead.close();
  const good = await startReceiver(t);
  const limitMs = 10_000;
  const muster = await startApp(t, dialect, { ...LOCAL, taskConcurrency: 1 }, { sender: { limitMs } });
  const slowOnes = [];
  for (let n = 0; n < 12; n++) slowOnes.push(await makeWebhook(muster, slow.url));
  const { id: deadId } = await makeWebhook(muster, dead.url);
  await makeWebhook(muster, good.url);
  await addUser(muster, 'Ada');
  await good.until((all) => all.length > 0);
  const sleep = await muster.request('POST', '/tasks', { json: { kind: 'sleep', input: { ms: 1 } } });
  await settled(muster.app, sleep.json<{ id: number }>().id);
  const triedOf = async ({ id }: { id: number }) => (await deliveriesOf(muster, id)).length;
  t.equal(Math.max(...(await Promise.all(slowOnes.map(triedOf)))), 0, 'before the slow ones are given up');
  const failed = await webhookWhen(muster, deadId, ({ lastError }) => lastError !== undefined);
  t.match(failed.lastError, /ECONNREFUSED/);
  for (const { id } of slowOnes) {
    const late = await webhookWhen(muster, id, ({ lastError }) => lastError !== undefined);
    t.equal(late.lastError, `There was no answer within ${limitMs} ms.`);
  }
  const [attempt] = await deliveriesOf(muster, slowOnes[0]?.id ?? 0);
  t.ok(attempt && attempt.ms >= limitMs - 10 && attempt.ms < 2 * limitMs, `it took ${attempt?.ms} ms`);
});

onEachDatabase('a receiver that is not there is asked once, not for each change', async (t, dialect) => {
  let isThere = false;
  const receiver = await startReceiver(t, (_message, response) => {
    response.writeHead(isThere ? 204 : 503).end();
  });
  const muster = await startApp(t, dialect, LOCAL);
  const { id } = await makeWebhook(muster, receiver.url);
  await muster.request('PATCH', `/webhooks/${id}`, { json: { enabled: false } });
  for (let n = 0; n < 30; n++) await addUser(muster, `u${n}`);
  await muster.request('PATCH', `/webhooks/${id}`, { json: { enabled: true } });
  await webhookWhen(muster, id, ({ lastError }) => lastError !== undefined);
  t.ok(receiver.received.length <= 10, `the ten that were on their way: ${receiver.received.length}`);
  const before = receiver.received.length;
  await letTimePass(muster.app);
  await receiver.until((all) => all.length > before);
  await webhookWhen(muster, id, ({ retryAt = '' }) => Date.parse(retryAt) - Date.now() > 20_000);
  t.equal(receiver.received.length, before + 1, 'and then one');
  isThere = true;
  await letTimePass(muster.app);
  await webhookWhen(muster, id, ({ position }) => position === 30);
});

onEachDatabase('a webhook that is deleted or disabled ends its task', async (t, dialect) => {
  const receiver = await startReceiver(t, (_message, response) => response.writeHead(500).end());
  const muster = await startApp(t, dialect, LOCAL);
  const first = await makeWebhook(muster, receiver.url);
  const second = await makeWebhook(muster, receiver.url);
  await addUser(muster, 'Ada');
  for (const { id } of [first, second])
    await webhookWhen(muster, id, ({ lastError }) => lastError !== undefined);
  const unfinished = async () =>
    (await muster.request('GET', '/tasks?kind=deliver'))
      .json<{ state: string }[]>()
      .filter(({ state }) => state !== 'cancelled').length;
  t.equal(await unfinished(), 2);
  t.equal((await muster.request('DELETE', `/webhooks/${first.id}`)).status, 204);
  t.equal((await muster.request('GET', `/webhooks/${first.id}`)).status, 404);
  t.equal((await muster.request('GET', `/webhooks/${first.id}/deliveries`)).status, 404);
  const disabled = await muster.request('PATCH', `/webhooks/${second.id}`, { json: { enabled: false } });
  t.match(disabled.json(), { enabled: false, disabledReason: 'It was disabled by a request.' });
  t.equal(await unfinished(), 0);
  t.equal((await muster.request('DELETE', '/webhooks/99999999999')).status, 404);
});

onEachDatabase('the service stops and starts in the middle: nothing is missing', async (t, dialect) => {
  const databaseUrl = await emptyDatabase(t, dialect);
  const receiver = await startReceiver(t);
  const start = () => startApp(t, dialect, { ...LOCAL, databaseUrl }, { sender: { lastMs: 30_000 } });
  let muster = await start();
  await makeWebhook(muster, receiver.url);
  for (let round = 0; round < 5; round++) {
    await Promise.all(Array.from({ length: 20 }, (_, n) => addUser(muster, `r${round}u${n}`)));
    await muster.app.close();
    muster = await start();
  }
  await receiver.until((all) => new Set(all.map(({ id }) => id)).size === 100);
  t.equal(receiver.received.length, 100, 'and nothing is sent twice by an orderly stop');
});

t.test('two replicas send no message twice', async (t) => {
  const databaseUrl = await emptyDatabase(t, 'postgresql');
  const receiver = await startReceiver(t);
  const one = await startApp(t, 'postgresql', { ...LOCAL, databaseUrl });
  const two = await startApp(t, 'postgresql', { ...LOCAL, databaseUrl });
  await makeWebhook(one, receiver.url);
  await makeWebhook(two, receiver.url);
  for (let round = 0; round < 10; round++) {
    await Promise.all(Array.from({ length: 10 }, (_, n) => addUser(n % 2 ? one : two, `r${round}u${n}`, 2)));
  }
  await receiver.until((all) => new Set(all.map(({ id }) => id)).size === 600);
  t.equal(receiver.received.length, 600);
});

onEachDatabase(
  'a change that is committed while a delivery ends is sent all the same',
  async (t, dialect) => {
    const receiver = await startReceiver(t);
    const muster = await startApp(t, dialect, LOCAL);
    const { id } = await makeWebhook(muster, receiver.url);
    for (let round = 0; round < 4; round++) {
      await addUser(muster, `u${round}`);
      await webhookWhen(muster, id, ({ position }) => position === round + 1);
      // The delivery lingers for a second and then ends, at about the time of the next change.
      const before = performance.now();
      while (performance.now() - before < 970 + round * 20) await new Promise(setImmediate);
    }
    t.equal(receiver.received.length, 4);
    t.equal((await findWebhook(muster, id)).position, 4);
  },
);

onEachDatabase(
  'what a webhook is set to while a failure is written down is not waited with',
  async (t, dialect) => {
    const asks = await startReceiver(t, (_message, response) => {
      response.writeHead(503, { 'retry-after': '7200' }).end();
    });
    const good = await startReceiver(t);
    const muster = await startApp(t, dialect, LOCAL);
    const { id } = await makeWebhook(muster, asks.url);
    // Between the two transactions of a failure: the webhook knows of it, its task does not yet.
    const { run } = WriteQueue.prototype;
    t.teardown(() => Object.assign(WriteQueue.prototype, { run }));
    WriteQueue.prototype.run = async function <T>(this: WriteQueue, work: (tx: Tx) => Promise<T>) {
      let isFailure = false;
      const done = await run.call(this, (tx) => {
        const execute: Tx['execute'] = (sql, values) => {
          isFailure ||= sql.includes('failing_since = ?');
          return tx.execute(sql, values);
        };
        return work({ ...tx, execute });
      });
      if (isFailure) {
        Object.assign(WriteQueue.prototype, { run });
        await muster.request('PATCH', `/webhooks/${id}`, { json: { url: good.url } });
      }
      return done as T;
    };
    await addUser(muster, 'Ada');
    await good.until((all) => all.length === 1);
    await webhookWhen(muster, id, ({ position }) => position === 1);
  },
);

onEachDatabase('what comes after other types were asked for is not passed over', async (t, dialect) => {
  const receiver = await startReceiver(t);
  const muster = await startApp(t, dialect, LOCAL);
  const { id } = await makeWebhook(muster, receiver.url, { types: ['user.deleted'] });
  const { reader } = muster.app;
  const { read } = reader;
  const patched = Promise.withResolvers<void>();
  reader.read = async (sql, values) => {
    const rows = await read<never>(sql, values);
    if (/from webhooks where id/.test(sql)) {
      // A delivery knows the old types, and has not read the log.
      reader.read = read;
      await muster.request('PATCH', `/webhooks/${id}`, { json: { types: null } });
      await addUser(muster, 'Grace');
      patched.resolve();
    }
    return rows;
  };
  await addUser(muster, 'Ada');
  await patched.promise;
  await webhookWhen(muster, id, ({ position }) => position === 2);
  t.ok(receiver.received.some(({ body }) => body.data.position === 2));
});

onEachDatabase('who was erased while a receiver took its time is sent no more', async (t, dialect) => {
  const first = Promise.withResolvers<ServerResponse>();
  const receiver = await startReceiver(t, (_message, response) => {
    if (receiver.received.length === 1) first.resolve(response);
    else response.writeHead(204).end();
  });
  const muster = await startApp(t, dialect, LOCAL);
  const { id } = await makeWebhook(muster, receiver.url);
  await muster.request('PATCH', `/webhooks/${id}`, { json: { enabled: false } });
  const userId = await addUser(muster, 'Ada', 3);
  await muster.request('PATCH', `/webhooks/${id}`, { json: { enabled: true } });
  const response = await first.promise; // the others are read already, and wait for it
  const erasure = await muster.request('POST', `/users/${userId}/erase`);
  t.match(await settled(muster.app, erasure.json<{ id: number }>().id), { state: 'succeeded' });
  response.writeHead(204).end();
  await webhookWhen(muster, id, ({ position }) => position === 6);
  const [before, ...after] = receiver.received;
  t.match(before?.text, /Ada/);
  t.strictSame(
    after.map(({ body }) => body.data),
    (await wholeLog(muster)).slice(1),
  );
  t.notMatch(after.map(({ text }) => text).join(), /Ada/);
});
