import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { startApp } from './support/app.ts';
import { onEachDatabase } from './support/databases.ts';
import { temporaryFolder } from './support/owner.ts';
import { LOCAL, startReceiver } from './support/receiver.ts';
import { addUser, makeWebhook } from './support/webhooks.ts';

type Verify = (secret: string, headers: Record<string, string>, body: string) => unknown;

onEachDatabase('the code in docs/webhooks.md takes what is signed, and nothing else', async (t, dialect) => {
  const page = await readFile(new URL('../docs/webhooks.md', import.meta.url), 'utf8');
  const [, code = ''] = /```ts\n([\s\S]+?)```/.exec(page) ?? [];
  t.ok(code.split('\n').length <= 20, 'in twenty lines');
  const file = join(await temporaryFolder(t), 'verify.ts');
  await writeFile(file, code);
  const { verify }: { verify: Verify } = await import(pathToFileURL(file).href);
  const receiver = await startReceiver(t);
  const muster = await startApp(t, dialect, LOCAL);
  const { secret } = await makeWebhook(muster, receiver.url);
  const other = await makeWebhook(muster, 'https://example.com');
  await addUser(muster, 'Ada');
  const [message] = await receiver.until((all) => all.length > 0);
  const headers = { ...message?.headers } as Record<string, string>;
  const text = message?.text ?? '';
  t.strictSame(verify(secret, headers, text), message?.body);
  const several = { ...headers, 'webhook-signature': `v1a,x v1,eA== ${headers['webhook-signature']}` };
  t.strictSame(verify(secret, several, text), message?.body, 'one of several signatures');

  const refused = (what: string, changed: Record<string, string>, body = text, by = secret) =>
    t.throws(() => verify(by, { ...headers, ...changed }, body), what);
  refused('another body', {}, text.replace('Ada', 'Eve'));
  refused('another secret', {}, text, other.secret);
  refused('another id', { 'webhook-id': 'msg_1_2' });
  refused('another time', { 'webhook-timestamp': String(Number(headers['webhook-timestamp']) + 1) });
  refused('no time', { 'webhook-timestamp': 'NaN' });
  refused('no signature', { 'webhook-signature': '' });
  refused('another version', {
    'webhook-signature': headers['webhook-signature']?.replace('v1', 'v2') ?? '',
  });

  const now = Date.now;
  t.teardown(() => {
    Date.now = now;
  });
  for (const minutes of [-6, 6]) {
    Date.now = () => now() + minutes * 60_000;
    t.throws(() => verify(secret, headers, text), { message: /too old/ }, 'a message that is replayed later');
  }
});
