import type { ServerResponse } from 'node:http';
import { createServer } from 'node:net';
import t from 'tap';
import { readRetryAfter, retryAfterMs } from '../src/webhooks/retries.ts';
import { rotateSecret } from '../src/webhooks/webhooks.ts';
import { pointers, startApp, type TestApp } from './support/app.ts';
import { onEachDatabase } from './support/databases.ts';
import { isSignedBy, LOCAL, startReceiver } from './support/receiver.ts';
import { settled } from './support/tasks.ts';
import {
  addUser,
  deliveriesOf,
  findWebhook,
  letTimePass,
  makeWebhook,
  type Webhook,
  webhookWhen,
} from './support/webhooks.ts';

const hasFailed = ({ lastError }: Webhook) => lastError !== undefined;
const msUntil = (time = '') => Date.parse(time) - Date.now();

t.test('the next attempt comes later and later, and not before it is asked for', async (t) => {
  const minutes = [5 / 60, 0.5, 2, 10, 30, 60, 120, 240, 360, 360];
  for (const [failures, expected] of minutes.entries()) {
    const ms = retryAfterMs(failures);
    t.ok(Math.abs(ms / 60_000 / expected - 1) <= 0.1001, `after ${failures}: ${ms}`);
  }
  t.equal(retryAfterMs(0, 60_000), 60_000);
  t.ok(retryAfterMs(8, 60_000) > 60_000, 'and not sooner than it would be');
  t.equal(retryAfterMs(0, 1e12), 86_400_000, 'but for a day at most');
  const now = Date.parse('2026-01-15T09:30:00Z');
  t.equal(readRetryAfter('120', now), 120_000);
  t.equal(readRetryAfter('Thu, 15 Jan 2026 09:31:00 GMT', now), 60_000);
  t.equal(readRetryAfter('Thu, 15 Jan 2026 09:29:00 GMT', now), 0, 'a time that is over');
  for (const nonsense of ['soon', '', '-1', '1.5', undefined])
    t.equal(readRetryAfter(nonsense, now), undefined, `${nonsense}`);
});

onEachDatabase('Retry-After is honoured', async (t, dialect) => {
  const receiver = await startReceiver(t, (_message, response) => {
    response.writeHead(429, { 'retry-after': '7200' }).end();
  });
  const muster = await startApp(t, dialect, LOCAL);
  const { id } = await makeWebhook(muster, receiver.url);
  await addUser(muster, 'Ada');
  const { retryAt } = await webhookWhen(muster, id, hasFailed);
  t.ok(Math.abs(msUntil(retryAt) - 7_200_000) < 10_000, `in two hours: ${retryAt}`);
  const [task] = (await muster.request('GET', '/tasks?kind=deliver')).json<{ runAt: string }[]>();
  t.ok(Math.abs(msUntil(task?.runAt) - 7_200_000) < 10_000, 'and so does the task');
});

onEachDatabase('410 disables at once, and a PATCH enables again', async (t, dialect) => {
  let status = 410;
  const receiver = await startReceiver(t, (_message, response) => response.writeHead(status).end());
  const muster = await startApp(t, dialect, LOCAL);
  const { id } = await makeWebhook(muster, receiver.url);
  await addUser(muster, 'Ada');
  const gone = await webhookWhen(muster, id, ({ enabled }) => !enabled);
  t.match(gone, { disabledReason: 'The receiver answered 410 Gone.', disabledAt: String, position: 0 });
  await addUser(muster, 'Grace');
  const [task] = (await muster.request('GET', '/tasks?kind=deliver')).json<{ id: number }[]>();
  t.match(await settled(muster.app, task?.id ?? 0), { state: 'failed', error: { message: /410 Gone/ } });
  status = 200;
  const enabled = await muster.request('PATCH', `/webhooks/${id}`, { json: { enabled: true } });
  t.match(enabled.json(), { enabled: true });
  t.notOk('disabledReason' in enabled.json());
  await webhookWhen(muster, id, ({ position }) => position === 2);
  t.strictSame(
    receiver.received.map(({ body }) => body.data.position).toSorted(), // of two users: either may be first
    [1, 1, 2],
    'it goes on where it was',
  );
});

onEachDatabase('a redirect is a failure, and is not followed', async (t, dialect) => {
  const other = await startReceiver(t);
  for (const status of [301, 302, 303, 307, 308, 304]) {
    const receiver = await startReceiver(t, (_message, response) => {
      response.writeHead(status, { location: other.url }).end();
    });
    const muster = await startApp(t, dialect, LOCAL);
    const { id } = await makeWebhook(muster, receiver.url);
    await addUser(muster, 'Ada');
    const { lastError } = await webhookWhen(muster, id, hasFailed);
    t.equal(lastError, `The receiver answered ${status}: redirects are not followed.`);
    t.equal(receiver.received.length, 1);
  }
  t.equal(other.received.length, 0);
});

onEachDatabase(
  'of an answer no more is read than 64 KiB, and its status counts all the same',
  async (t, dialect) => {
    let sent = 0;
    const receiver = await startReceiver(t, (message, response) => {
      response.writeHead(message.body.data.position === 1 ? 200 : 500);
      const more = () => {
        while (!response.destroyed && sent < 1e9) {
          sent += 65_536;
          if (!response.write('x'.repeat(65_536))) return void response.once('drain', more);
        }
      };
      more();
    });
    const muster = await startApp(t, dialect, LOCAL, { sender: { limitMs: 10_000 } });
    const { id } = await makeWebhook(muster, receiver.url);
    await addUser(muster, 'Ada', 1);
    const failed = await webhookWhen(muster, id, hasFailed);
    t.match(failed, { position: 1, lastError: 'The receiver answered 500.' });
    t.ok(sent < 50_000_000, `the connections were cut after ${sent} bytes`);
  },
);

onEachDatabase('an answer that never ends costs its time and nothing more', async (t, dialect) => {
  const receiver = await startReceiver(t, (_message, response) => {
    response.writeHead(200).write('acknowledged, and then '); // silence
  });
  const muster = await startApp(t, dialect, LOCAL, { sender: { limitMs: 3000 } });
  const { id } = await makeWebhook(muster, receiver.url);
  await addUser(muster, 'Ada');
  await webhookWhen(muster, id, ({ position }) => position === 1);
  t.equal(receiver.received.length, 1, 'the status was 200: it is acknowledged');
  const [attempt] = await deliveriesOf(muster, id);
  t.match(attempt, { status: 200, messageId: `msg_${id}_1` });
  t.notOk(attempt && 'error' in attempt);
  // What is no HTTP at all, and what breaks off.
  for (const answer of ['SSH-2.0-OpenSSH_9.9\r\n', 'HTTP/1.1 200', '']) {
    const server = createServer((socket) => {
      socket.on('error', () => {});
      socket.end(answer);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    t.teardown(() => server.close());
    const { port } = server.address() as { port: number };
    const other = await makeWebhook(muster, `http://127.0.0.1:${port}/`);
    await addUser(muster, `user of ${port}`);
    const { lastError } = await webhookWhen(muster, other.id, hasFailed);
    t.ok(lastError, `${JSON.stringify(answer)}: ${lastError}`);
  }
});

onEachDatabase('what has failed for three days is disabled, and says why', async (t, dialect) => {
  const receiver = await startReceiver(t, (_message, response) => response.writeHead(500).end());
  const muster = await startApp(t, dialect, LOCAL);
  const { id } = await makeWebhook(muster, receiver.url);
  await addUser(muster, 'Ada');
  await webhookWhen(muster, id, hasFailed);
  const since = async (ms: number) => {
    const time = new Date(Date.now() - ms);
    await muster.app.write(async (tx) => {
      tx.changed();
      await tx.execute('update webhooks set failing_since = ?, failures = 15', [time]);
    });
    const before = receiver.received.length;
    await letTimePass(muster.app);
    await receiver.until((all) => all.length > before);
  };
  await since(72 * 3_600_000 - 60_000);
  const { enabled } = await webhookWhen(muster, id, ({ retryAt }) => msUntil(retryAt) > 5 * 3_600_000);
  t.ok(enabled, 'a minute before, not yet');
  await since(72 * 3_600_000);
  const disabled = await webhookWhen(muster, id, (one) => !one.enabled);
  t.equal(disabled.disabledReason, 'It has failed for three days. The receiver answered 500.');
});

onEachDatabase('a rotated secret signs beside the new one for a day', async (t, dialect) => {
  const receiver = await startReceiver(t);
  const muster = await startApp(t, dialect, LOCAL);
  const { id, secret } = await makeWebhook(muster, receiver.url);
  const rotate = async () =>
    (await muster.request('POST', `/webhooks/${id}/rotate-secret`)).json<{ secret: string }>().secret;
  const secrets = [secret, await rotate(), await rotate()];
  t.equal(new Set(secrets).size, 3);
  await addUser(muster, 'Ada');
  const [first] = await receiver.until((all) => all.length === 1);
  for (const one of secrets) t.ok(first && isSignedBy(one, first), 'all three sign');
  t.match(first?.headers['webhook-signature'], /^v1,\S+ v1,\S+ v1,\S+$/);
  const [row] = await muster.app.reader.read<{ old: string }>(
    'select cast(old_secrets as text) as old from webhooks',
    [],
  );
  const old: { until: number }[] = JSON.parse(row?.old ?? '');
  for (const { until } of old) t.ok(Math.abs(until - Date.now() - 86_400_000) < 10_000, 'for a day');
  await muster.app.write(async (tx) => {
    tx.changed();
    const over = old.map((one) => ({ ...one, until: Date.now() - 1 }));
    await tx.execute('update webhooks set old_secrets = ?', [JSON.stringify(over)]);
  });
  await addUser(muster, 'Grace');
  const [, second] = await receiver.until((all) => all.length === 2);
  t.strictSame(
    secrets.map((one) => second && isSignedBy(one, second)),
    [false, false, true],
  );
  for (const url of ['/webhooks', `/webhooks/${id}`, '/tasks', `/webhooks/${id}/deliveries`])
    t.notMatch((await muster.request('GET', url)).text, /whsec_/, `${url} shows none`);
  t.notMatch(JSON.stringify(muster.log), /whsec_/, 'nor does the log');
});

onEachDatabase('a test sends one message, and its task says what came of it', async (t, dialect) => {
  let status = 204;
  const receiver = await startReceiver(t, (_message, response) => response.writeHead(status).end());
  const muster = await startApp(t, dialect, LOCAL);
  const { id, secret } = await makeWebhook(muster, receiver.url);
  await muster.request('PATCH', `/webhooks/${id}`, { json: { enabled: false } });
  const test = async () => {
    const answer = await muster.request('POST', `/webhooks/${id}/test`);
    t.equal(answer.status, 202);
    const { id: taskId } = answer.json<{ id: number }>();
    t.equal(answer.headers.location, `/tasks/${taskId}`);
    return settled(muster.app, taskId);
  };
  const good = await test();
  t.match(good, { kind: 'test-webhook', state: 'succeeded', result: { status: 204, ms: Number } });
  const [message] = receiver.received;
  t.match(message, { id: `msg_test_${good.id}`, body: { type: 'webhook.test', data: { webhookId: id } } });
  t.ok(message && isSignedBy(secret, message));
  status = 500;
  t.match(await test(), { state: 'failed', error: { message: 'The receiver answered 500.' }, attempt: 1 });
  t.match(await deliveriesOf(muster, id), [
    { type: 'webhook.test', status: 500 },
    { type: 'webhook.test', status: 204 },
  ]);
  t.equal((await muster.request('POST', '/webhooks/9/test')).status, 404);
});

onEachDatabase('a replay sends what follows a position again, under the same ids', async (t, dialect) => {
  const receiver = await startReceiver(t);
  const muster = await startApp(t, dialect, LOCAL);
  const { id } = await makeWebhook(muster, receiver.url);
  await addUser(muster, 'Ada', 4);
  await webhookWhen(muster, id, ({ position }) => position === 5);
  const answer = await muster.request('POST', `/webhooks/${id}/replay`, { json: { after: 2 } });
  t.equal(answer.status, 202);
  t.match(answer.json(), { kind: 'deliver', dedupeKey: String(id) });
  await receiver.until((all) => all.length === 8);
  t.strictSame(
    receiver.received.map((one) => one.id),
    [1, 2, 3, 4, 5, 3, 4, 5].map((position) => `msg_${id}_${position}`),
  );
  await webhookWhen(muster, id, ({ position }) => position === 5);
  const refused = await muster.request('POST', `/webhooks/${id}/replay`, { json: { after: 6 } });
  t.match(refused.json(), { status: 410, type: 'urn:problem-type:muster:position-gone' });
  t.strictSame(pointers(await muster.request('POST', `/webhooks/${id}/replay`, { json: {} })), ['#/after']);
  t.equal((await muster.request('POST', '/webhooks/9/replay', { json: { after: 0 } })).status, 404);
});

onEachDatabase('a webhook whose changes are not kept any more is disabled for it', async (t, dialect) => {
  const receiver = await startReceiver(t);
  const muster = await startApp(t, dialect, LOCAL);
  const { id } = await makeWebhook(muster, receiver.url);
  await muster.request('PATCH', `/webhooks/${id}`, { json: { enabled: false } });
  await addUser(muster, 'Ada', 4);
  await muster.app.write(async (tx) => {
    tx.changed();
    await tx.execute('update change_log set kept_after = 3', []);
    await tx.execute('delete from changes where position <= 3', []);
  });
  await muster.request('PATCH', `/webhooks/${id}`, { json: { enabled: true } });
  const lost = await webhookWhen(muster, id, ({ enabled }) => !enabled);
  t.match(lost.disabledReason, /position 0 is not kept any more: the log begins after 3/);
  t.equal(receiver.received.length, 0, 'it is not sent with a hole');
  t.equal((await muster.request('POST', `/webhooks/${id}/replay`, { json: { after: 2 } })).status, 410);
  t.equal((await muster.request('POST', `/webhooks/${id}/replay`, { json: { after: 3 } })).status, 202);
  await receiver.until((all) => all.length === 2);
  t.ok((await findWebhook(muster, id)).enabled, 'a replay enables it');
});

onEachDatabase('of the attempts the last thousand are kept, in pages', async (t, dialect) => {
  const receiver = await startReceiver(t);
  const muster = await startApp(t, dialect, LOCAL);
  const { id } = await makeWebhook(muster, receiver.url);
  const other = await makeWebhook(muster, receiver.url);
  await addUser(muster, 'Ada');
  for (const one of [id, other.id]) await webhookWhen(muster, one, ({ position }) => position === 1);
  await muster.app.write(async (tx) => {
    tx.changed();
    for (let n = 0; n < 1200; n++)
      await tx.execute(
        `insert into webhook_deliveries (webhook_id, message_id, type, attempted_at, ms) values (?, 'msg_0', 'x', ?, 1)`,
        [id, new Date()],
      );
  });
  await addUser(muster, 'Grace');
  for (const one of [id, other.id]) await webhookWhen(muster, one, ({ position }) => position === 2);
  const seen: unknown[] = [];
  for (let url: string | undefined = `/webhooks/${id}/deliveries?limit=300`; url !== undefined; ) {
    const page = await muster.request('GET', url);
    seen.push(...page.json<unknown[]>());
    url = /<(.+)>/.exec(String(page.headers.link ?? ''))?.[1];
  }
  t.equal(seen.length, 1000);
  t.match(seen[0], { messageId: `msg_${id}_2`, status: 204 });
  t.equal((await deliveriesOf(muster, other.id)).length, 2, 'those of another are its own');
  t.equal((await muster.request('GET', `/webhooks/${id}/deliveries?after=x`)).status, 400);
});

/** How many queries there are in two seconds in which nothing happens. */
async function queriesWhileIdle({ app }: TestApp): Promise<number> {
  let count = 0;
  const read = app.reader.read;
  app.reader.read = (sql, values) => {
    count++;
    return read(sql, values);
  };
  await new Promise((resolve) => setTimeout(resolve, 2000));
  app.reader.read = read;
  return count;
}

onEachDatabase('webhooks that have had everything ask the database nothing', async (t, dialect) => {
  const receiver = await startReceiver(t);
  const failing = await startReceiver(t, (_message, response) => response.writeHead(503).end());
  const muster = await startApp(t, dialect, LOCAL);
  const { id } = await makeWebhook(muster, receiver.url);
  const waiting = await makeWebhook(muster, failing.url);
  await addUser(muster, 'Ada');
  await letTimePass(muster.app);
  await webhookWhen(muster, id, ({ position }) => position === 1);
  await webhookWhen(muster, waiting.id, ({ retryAt }) => msUntil(retryAt) > 20_000);
  const running = async () =>
    (await muster.request('GET', '/tasks?kind=deliver&state=running')).json<unknown[]>().length;
  while ((await running()) > 0) await muster.app.tasks.watch.next();
  await new Promise((resolve) => setTimeout(resolve, 1100)); // the last look for a change in between
  let count = Infinity; // what this machine was late with may fall into the first
  for (let tries = 0; count > 3 && tries < 5; tries++) count = await queriesWhileIdle(muster);
  t.ok(count <= 3, `only the runner looks, once a second: ${count}`);
});

onEachDatabase('what is wrong with a webhook is said where it is', async (t, dialect) => {
  const { request } = await startApp(t, dialect, LOCAL);
  const post = async (json: object) => {
    const answer = await request('POST', '/webhooks', { json });
    return [answer.status, ...pointers(answer)];
  };
  const url = 'https://example.com/hook';
  t.strictSame(await post({}), [422, '#/url']);
  t.strictSame(await post({ url, types: [] }), [422, '#/types']);
  t.strictSame(await post({ url, types: ['user.renamed'] }), [422, '#/types/0']);
  t.strictSame(await post({ url, types: ['user.created', 'user.created'] }), [422, '#/types']);
  t.strictSame(await post({ url, secret: 'whsec_mine' }), [422, '#/secret']);
  for (const bad of [
    'example.com',
    'ftp://example.com/',
    'file:///etc/passwd',
    'https://ada:pw@example.com/',
    'https://example.com/#x',
    'https://example.com/a b',
    'https://',
    'http://exa mple.com',
    'http://[::1',
    'http://example.com:99999/',
    `https://example.com/${'x'.repeat(2000)}`,
  ])
    t.strictSame(await post({ url: bad }), [422, '#/url'], bad);
  const headers = { 'idempotency-key': 'once' };
  const first = await request('POST', '/webhooks', { json: { url, description: 'mine' }, headers });
  const again = await request('POST', '/webhooks', { json: { url, description: 'mine' }, headers });
  t.equal(again.text, first.text, 'a repetition has the same answer');
  const list = (await request('GET', '/webhooks')).json<{ id: number }[]>();
  t.match(list, [{ id: 1, url, description: 'mine', enabled: true, position: 0 }]);
  t.equal(list.length, 1);
  const patch = async (json: object) => (await request('PATCH', '/webhooks/1', { json })).json();
  t.match(await patch({ description: null, types: ['user.deleted'] }), { types: ['user.deleted'] });
  t.notOk('description' in (await patch({})));
  t.match(await patch({ url: 'http://10.0.0.1/' }), { status: 422 });
  t.match(await patch({ position: 0 }), { status: 422 });
  t.equal((await request('PATCH', '/webhooks/2', { json: {} })).status, 404);
});

onEachDatabase('a delivery that somebody else enqueues does nothing', async (t, dialect) => {
  const receiver = await startReceiver(t);
  const muster = await startApp(t, dialect, LOCAL);
  const { id } = await makeWebhook(muster, receiver.url);
  const json = { kind: 'deliver', input: { webhookId: id } };
  const task = (await muster.request('POST', '/tasks', { json })).json<{ id: number }>();
  t.match(await settled(muster.app, task.id), { state: 'failed', error: { code: 'not-enqueued-so' } });
});

onEachDatabase('of two who rotate a secret at once, each is told one that signs', async (t, dialect) => {
  const receiver = await startReceiver(t);
  const muster = await startApp(t, dialect, LOCAL);
  const { id, secret } = await makeWebhook(muster, receiver.url);
  const rotate = () => muster.app.write((tx) => rotateSecret(tx, id));
  const told = await Promise.all([rotate(), rotate(), rotate()]); // in one turn: they share a transaction
  await addUser(muster, 'Ada');
  const [message] = await receiver.until((all) => all.length === 1);
  for (const one of [secret, ...told.map((webhook) => webhook.secret)])
    t.ok(message && isSignedBy(one, message));
});

onEachDatabase('a test of a webhook that is deleted meanwhile leaves nothing behind', async (t, dialect) => {
  const answers: ServerResponse[] = [];
  const receiver = await startReceiver(t, (_message, response) => void answers.push(response));
  const muster = await startApp(t, dialect, LOCAL);
  const { id } = await makeWebhook(muster, receiver.url);
  const test = await muster.request('POST', `/webhooks/${id}/test`);
  await receiver.until((all) => all.length === 1);
  await muster.request('DELETE', `/webhooks/${id}`);
  answers[0]?.writeHead(204).end();
  await settled(muster.app, test.json<{ id: number }>().id);
  t.strictSame(await muster.app.reader.read('select id from webhook_deliveries', []), []);
});
