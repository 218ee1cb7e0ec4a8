import { Webhook } from 'standardwebhooks';
import { startApp, type TestApp } from './support/app.ts';
import { onEachDatabase } from './support/databases.ts';
import { isSignedBy, LOCAL, startReceiver } from './support/receiver.ts';

interface Made {
  id: number;
  secret: string;
  position: number;
}

async function makeWebhook({ request }: TestApp, json: object): Promise<Made> {
  const made = await request('POST', '/webhooks', { json });
  if (made.status !== 201) throw new Error(made.text);
  return made.json<Made & Record<string, unknown>>();
}

async function addUser({ request }: TestApp, name: string): Promise<{ id: number }> {
  const json = { name, email: `${name.replaceAll(' ', '.')}@example.com` };
  return (await request('POST', '/users', { json })).json<{ id: number }>();
}

onEachDatabase('a change is pushed, signed by the rules of Standard Webhooks', async (t, dialect) => {
  const receiver = await startReceiver(t);
  const muster = await startApp(t, dialect, LOCAL);
  await addUser(muster, 'before');
  const made = await makeWebhook(muster, { url: receiver.url });
  const { id } = await addUser(muster, 'Ada');
  const [message] = await receiver.until((all) => all.length > 0);
  const [change] = (await muster.request('GET', '/changes?after=1')).json<{ at: string }[]>();
  t.strictSame(message?.body, { type: 'user.created', timestamp: change?.at, data: change });
  t.match(message, {
    id: `msg_${made.id}_2`,
    path: '/hook?from=muster',
    body: { data: { userId: id } },
    headers: { 'content-type': 'application/json', 'user-agent': 'Muster' },
  });
  if (message === undefined) return;
  t.ok(isSignedBy(made.secret, message), 'by an independent reading of the rules');
  const verifier = new Webhook(made.secret);
  const headers = message.headers as Record<string, string>;
  t.strictSame(verifier.verify(message.text, headers), message.body, 'and by their own library');
});
