import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { setImmediate, setTimeout as wait } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { trueHistory } from './support/true-history.ts';
import { Audience } from './torture/audience.ts';
import { Client } from './torture/client.ts';
import { Hand } from './torture/hand.ts';
import { History } from './torture/history.ts';
import { TaskWork } from './torture/task-work.ts';
import { UserWork } from './torture/user-work.ts';

/*
 * Those whose words the torture judges by hide nothing of what they are told: here by a service that is made up.
 */

type Serve = (request: IncomingMessage, response: ServerResponse) => unknown;

async function service(t: Test, serve: Serve): Promise<{ base: string; client: Client }> {
  const server = createServer(serve);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const client = new Client();
  t.teardown(async () => {
    await client.close();
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  return { base: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, client };
}

function answer(response: ServerResponse, status: number, body?: object): void {
  const type = status < 400 ? 'application/json' : 'application/problem+json';
  const retry = status === 503 && { 'retry-after': '1' };
  if (body === undefined) response.writeHead(status).end();
  else response.writeHead(status, { 'content-type': type, ...retry }).end(JSON.stringify(body));
}

function problem(status: number, type = 'about:blank') {
  return { type, title: 'No', status, detail: 'No.', instance: 'about:blank' };
}

t.test(
  'a client knows what an answer says of a write, and keeps what the document does not say',
  async (t) => {
    const cases: [serve: Serve, fate: string, undocumented: RegExp[]][] = [
      [(_, to) => answer(to, 204), 'acknowledged', []],
      [(_, to) => answer(to, 503, problem(503)), 'refused', []],
      [(_, to) => answer(to, 503, problem(503, 'urn:problem-type:muster:commit-failed')), 'unknown', []],
      [(_, to) => to.destroy(), 'unknown', []],
      [(_, to) => answer(to, 500, problem(500)), 'refused', [/answered 500: \{"type"/]],
      [(_, to) => answer(to, 418, problem(418)), 'refused', [/answered 418 against the API document/]],
      [(_, to) => answer(to, 404, { error: 'no' }), 'refused', [/answered 404 against the API document/]],
    ];
    for (const [serve, fate, undocumented] of cases) {
      const { base, client } = await service(t, serve);
      t.equal((await client.send(base, 'DELETE', '/users/1')).fate, fate);
      t.match(client.undocumented, undocumented);
      t.equal(client.undocumented.length, undocumented.length);
    }
    t.equal((await new Client().send('http://127.0.0.1:1', 'DELETE', '/users/1')).fate, 'refused');
  },
);

t.test(
  'followers and webhooks tell what they were told: nothing more, nothing less, and in that order',
  async (t) => {
    const { log } = trueHistory();
    const told = [...log.slice(0, 3), ...log.slice(5, 9), ...log.slice(6)]; // two are missing, and three come twice
    let hook = '';
    let streams = 0;
    const open = new Set<ServerResponse>();
    const { base, client } = await service(t, async (request, response) => {
      if (request.method === 'POST') {
        hook = JSON.parse(await text(request)).url;
        return answer(response, 201, { id: 1 });
      }
      if (++streams === 1) return answer(response, 500, problem(500));
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      for (const one of told.filter(({ position }) => position > Number(request.headers['last-event-id'])))
        response.write(`id: ${one.position}\nevent: ${one.type}\ndata: ${JSON.stringify(one)}\n\n`);
      open.add(response);
      response.on('close', () => open.delete(response));
    });
    const audience = new Audience([base], 1);
    await audience.listen(t, client);
    for (const [at, data] of told.entries())
      await fetch(hook, {
        method: 'POST',
        headers: { 'webhook-id': `${at}` },
        body: JSON.stringify({ data }),
      });
    do await wait(5);
    while (open.size < 2);
    await setImmediate(); // what was sent to both is read in this turn
    const { followed, taken, strange } = await audience.finish(log, 0);
    t.strictSame(followed, [told, told]);
    t.strictSame(strange, ['a follower was answered 500']);
    const [webhook] = taken;
    t.strictSame(webhook?.changes, [...new Set(told)]);
    t.strictSame(
      [...(webhook?.ids.values() ?? [])].map(({ size }) => size),
      [1, 1, 1, 1, 2, 2, 2, 1, 1, 1, 1, 1, 1],
    );
  },
);

/** What a worker has misread when it was told this. */
async function misread(t: Test, serve: Serve, work: (hand: Hand) => Promise<unknown>): Promise<string[]> {
  const { base, client } = await service(t, serve);
  const history = new History();
  await work(new Hand(0, 1, { bases: [base], client, history }));
  return history.misread;
}

t.test('a worker notices when it does not read what it wrote', async (t) => {
  const users = async (
    hand: Hand,
    ...does: ('create' | 'createOnce' | 'look' | 'patch' | 'stalePatch' | 'delete')[]
  ) => {
    const work = new UserWork(hand);
    for (const one of does) await work[one]();
  };
  let version = 0;
  const rising: Serve = (request, to) =>
    answer(to, request.method === 'POST' ? 201 : 200, { id: 1, version: ++version });
  const gone: Serve = (request, to) =>
    request.method === 'POST' ? answer(to, 201, { id: 1, version: 1 }) : answer(to, 404, problem(404));
  const steady: Serve = (request, to) =>
    answer(to, request.method === 'POST' ? 201 : 200, { id: 1, version: 1 });

  t.strictSame(await misread(t, steady, (hand) => users(hand, 'create', 'look', 'patch', 'look')), []);
  t.match(await misread(t, rising, (hand) => users(hand, 'create', 'look')), [
    /user 1 was read in version 2, not 1/,
  ]);
  t.match(await misread(t, gone, (hand) => users(hand, 'create', 'look')), [
    /look of user 1 in version 1: 404/,
  ]);
  t.match(await misread(t, gone, (hand) => users(hand, 'create', 'patch')), [
    /patch of user 1 in version 1: 404/,
  ]);
  t.match(await misread(t, gone, (hand) => users(hand, 'create', 'delete')), [
    /delete of user 1 in version 1: 404/,
  ]);
  t.match(await misread(t, steady, (hand) => users(hand, 'create', 'stalePatch')), [
    /a stale patch was answered 200/,
  ]);
  const repeated = await misread(t, rising, (hand) =>
    users(hand, ...Array.from({ length: 9 }, () => 'createOnce' as const)),
  );
  t.match(repeated[0], /the key w0\.\d was answered 201 the second time/);

  const lost: Serve = (request, to) =>
    request.method === 'POST' ? answer(to, 202, { id: 1 }) : answer(to, 404, problem(404));
  const tasks = async (hand: Hand) => {
    const work = new TaskWork(hand);
    await work.sleep();
    await work.lookAtTask();
  };
  t.match(await misread(t, lost, tasks), [/task 1 was acknowledged and is not there/]);
});
