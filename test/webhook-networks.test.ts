import t from 'tap';
import { Networks } from '../src/webhooks/networks.ts';
import { pointers, startApp } from './support/app.ts';
import { onEachDatabase } from './support/databases.ts';
import { startReceiver } from './support/receiver.ts';
import { addUser, findWebhook, makeWebhook, webhookWhen } from './support/webhooks.ts';

const PUBLIC = [
  '1.1.1.1',
  '8.8.8.8',
  '172.32.0.1',
  '100.128.0.1',
  '223.255.255.255',
  '2606:4700::1111',
  '2a00::1',
];

const PRIVATE = [
  ...[
    '0.0.0.0',
    '10.1.2.3',
    '100.64.0.1',
    '100.100.100.200',
    '127.0.0.1',
    '127.255.255.255',
    '169.254.169.254',
  ],
  ...['172.16.0.1', '172.31.255.255', '192.0.0.192', '192.0.2.1', '192.88.99.1', '192.168.1.1', '198.18.0.1'],
  ...['198.51.100.1', '203.0.113.1', '224.0.0.1', '240.0.0.1', '255.255.255.255', '168.63.129.16'],
  ...[
    '::',
    '::1',
    '::127.0.0.1',
    '::ffff:127.0.0.1',
    '::ffff:8.8.8.8',
    '::ffff:0:127.0.0.1',
    '64:ff9b::7f00:1',
  ],
  ...['64:ff9b:1::1', '100::1', '2001::1', '2001:db8::1', '2002:7f00:1::', '3fff::1', '5f00::1', 'fc00::1'],
  ...['fd00:ec2::254', 'fe80::1', 'fe80::1%eth0', 'fec0::1', 'ff02::1', '2606:4700::1111%eth0'],
];

t.test('what is no public address is not admitted', async (t) => {
  const none = new Networks('none');
  for (const address of PUBLIC) t.ok(none.admits(address), address);
  for (const address of PRIVATE) t.notOk(none.admits(address), address);
  for (const name of ['', 'localhost', '127.1', '0x7f000001', '[::1]']) t.notOk(none.admits(name), name);
});

t.test('the networks that are allowed are, and no others', async (t) => {
  const some = new Networks('10.1.0.0/16, fd00::/8,127.0.0.1/32');
  for (const address of ['10.1.2.3', 'fd12::1', '127.0.0.1', '8.8.8.8']) t.ok(some.admits(address), address);
  for (const address of ['10.2.0.1', '127.0.0.2', 'fc00::1', '::1']) t.notOk(some.admits(address), address);
});

/** Spellings of addresses that are not public; the last column of each is what they are. */
const SPELLINGS = [
  ...[
    '127.0.0.1',
    '127.1',
    '127.0.1',
    '2130706433',
    '0x7f000001',
    '0x7f.0.0.1',
    '0177.0.0.1',
    '017700000001',
  ],
  ...['0x7f.1', '127.0.0.1.', '%31%32%37.0.0.1', '１２７.0.0.1', '①②⑦.⓪.⓪.①', '127。0。0。1', '0', '0.0.0.0'],
  ...[
    '10.0.0.1',
    '0xa9fea9fe',
    '2852039166',
    '169.254.169.254',
    '192.168.0.1',
    '172.16.0.1',
    '255.255.255.255',
  ],
  ...['[::1]', '[::]', '[0:0:0:0:0:0:0:1]', '[::ffff:127.0.0.1]', '[::ffff:7f00:1]', '[::127.0.0.1]'],
  ...[
    '[64:ff9b::127.0.0.1]',
    '[2002:7f00:1::]',
    '[2001:0:1::1]',
    '[fe80::1]',
    '[fd00:ec2::254]',
    '[ff02::1]',
  ],
];

onEachDatabase('an address that is not public is refused in every spelling', async (t, dialect) => {
  const { request } = await startApp(t, dialect);
  for (const host of SPELLINGS) {
    for (const url of [`http://${host}/`, `https://${host}:8443/x`]) {
      const answer = await request('POST', '/webhooks', { json: { url } });
      t.strictSame([answer.status, ...pointers(answer)], [422, '#/url'], url);
      t.match(answer.text, /is not a public address/, url);
    }
  }
  for (const url of [
    'https://8.8.8.8/',
    'https://[2606:4700::1111]/',
    'https://localhost/',
    'http://example.com',
  ])
    t.equal((await request('POST', '/webhooks', { json: { url } })).status, 201, url);
});

onEachDatabase('a URL that was allowed once is not reached when it is not any more', async (t, dialect) => {
  const receiver = await startReceiver(t);
  const muster = await startApp(t, dialect);
  const { id } = await makeWebhook(muster, 'https://example.com/');
  await muster.app.write(async (tx) => {
    tx.changed();
    await tx.execute('update webhooks set url = ?', [receiver.url]);
  });
  await addUser(muster, 'Ada');
  const { lastError } = await webhookWhen(muster, id, (one) => one.lastError !== undefined);
  t.match(lastError, /^127\.0\.0\.1 is not a public address/);
  t.equal(receiver.received.length, 0);
});

onEachDatabase('a name is followed to public addresses only, each time anew', async (t, dialect) => {
  const receiver = await startReceiver(t);
  const { port } = new URL(receiver.url);
  const at = (address: string) => ({ address, family: address.includes(':') ? 6 : 4 });
  const names: Record<string, string[]> = {
    'one.example': ['127.0.0.2'],
    'many.example': ['10.0.0.1', '::1', '169.254.169.254', '::ffff:127.0.0.2'],
    // This one is reached: of what it has the only admitted address.
    'mixed.example': ['127.0.0.2', '127.0.0.1', '::1'],
  };
  let rebinds = 0;
  const resolve = async (name: string) => {
    // The second time it says something else, as one does that passes a check and then attacks.
    if (name === 'rebind.example') return [at(rebinds++ === 0 ? '127.0.0.1' : '127.0.0.2')];
    return (names[name] ?? []).map(at);
  };
  const allowed = { webhookAllowedNetworks: '127.0.0.1/32' };
  const muster = await startApp(t, dialect, allowed, { sender: { resolve } });
  const made = async (name: string) => (await makeWebhook(muster, `http://${name}:${port}/`)).id;
  const one = await made('one.example');
  const many = await made('many.example');
  const mixed = await made('mixed.example');
  const rebind = await made('rebind.example');
  await addUser(muster, 'Ada');
  const error = async (id: number) =>
    (await webhookWhen(muster, id, ({ lastError }) => lastError !== undefined)).lastError;
  t.match(await error(one), /^127\.0\.0\.2 is not a public address/);
  t.match(await error(many), /^10\.0\.0\.1, ::1, 169\.254\.169\.254, ::ffff:127\.0\.0\.2 is not/);
  for (const id of [mixed, rebind]) await webhookWhen(muster, id, ({ position }) => position === 1);
  // The connection of a message is kept for a second, and longer by what this machine is late.
  for (let position = 2; rebinds < 2 && position < 7; position++) {
    await new Promise((resolve) => setTimeout(resolve, 1500));
    await addUser(muster, `user ${position}`);
    await webhookWhen(muster, rebind, (one) => one.position === position || one.lastError !== undefined);
  }
  t.match(
    (await findWebhook(muster, rebind)).lastError,
    /^127\.0\.0\.2 is not a public address/,
    'what was asked again is judged again',
  );
  t.strictSame(
    receiver.received.map(({ headers }) => headers.host).filter((host) => /^(one|many)/.test(host ?? '')),
    [],
  );
  t.equal(rebinds, 2, 'the socket connects to what was judged: nobody asks twice for one connection');
});

onEachDatabase('a real name of this machine is not reached, nor is one by a redirect', async (t, dialect) => {
  const inner = await startReceiver(t);
  const { port } = new URL(inner.url);
  const muster = await startApp(t, dialect);
  const { id } = await makeWebhook(muster, `http://localhost:${port}/`);
  await addUser(muster, 'Ada');
  const { lastError } = await webhookWhen(muster, id, (one) => one.lastError !== undefined);
  t.match(lastError, /(127\.0\.0\.1|::1).* is not a public address/);
  const outer = await startReceiver(t, (_message, response) => {
    response.writeHead(307, { location: `http://127.0.0.2:${port}/` }).end();
  });
  const open = await startApp(t, dialect, { webhookAllowedNetworks: '127.0.0.1/32' });
  const redirected = await makeWebhook(open, outer.url);
  await addUser(open, 'Ada');
  await webhookWhen(open, redirected.id, (one) => one.lastError !== undefined);
  t.equal(inner.received.length, 0);
});

t.test('a proxy of the environment is not used', async (t) => {
  const proxy = await startReceiver(t);
  const receiver = await startReceiver(t);
  for (const name of ['HTTP_PROXY', 'http_proxy', 'ALL_PROXY', 'NODE_USE_ENV_PROXY']) {
    process.env[name] = name === 'NODE_USE_ENV_PROXY' ? '1' : proxy.url;
    t.teardown(() => delete process.env[name]);
  }
  const muster = await startApp(t, 'sqlite', { webhookAllowedNetworks: '127.0.0.0/8' });
  await makeWebhook(muster, receiver.url);
  await addUser(muster, 'Ada');
  await receiver.until((all) => all.length === 1);
  t.equal(proxy.received.length, 0);
});
