import { readFile, writeFile } from 'node:fs/promises';
import { type AddressInfo, connect, createServer } from 'node:net';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { sampleRows } from '../src/cli/sample.ts';
import { runCommand } from './support/command.ts';
import { emptyDatabase, onEachDatabase } from './support/databases.ts';
import { fetch } from './support/fetch.ts';
import { startService } from './support/service.ts';

const COUNT = 1200;

/** A way to the service on which the first answer is lost after the request has arrived. */
async function losingFirstAnswer(t: Test, base: string): Promise<{ url: string; lost(): number }> {
  const { hostname, port } = new URL(base);
  let lost = 0;
  const proxy = createServer((client) => {
    const service = connect(Number(port), hostname);
    client.pipe(service).on('error', () => client.destroy());
    client.on('error', () => service.destroy());
    service.once('data', (first) => {
      if (lost++ === 0) return client.destroy();
      client.write(first);
      service.pipe(client);
    });
  }).listen(0, '127.0.0.1');
  await new Promise((resolve) => proxy.once('listening', resolve));
  t.teardown(() => proxy.close());
  return { url: `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`, lost: () => lost };
}

onEachDatabase('a sample goes in, its refused rows come back, and all others go out', async (t, dialect) => {
  const { base } = await startService(t, { DATABASE_URL: await emptyDatabase(t, dialect) });
  const env = { MUSTER_URL: base };
  const folder = t.testdir({});
  const [people, refused, exported] = ['people.csv', 'refused.csv', 'exported.csv'].map((name) =>
    join(folder, name),
  ) as [string, string, string];
  t.equal((await runCommand(t, ['sample', `${COUNT}`, '-o', people])).code, 0);
  const broken = [...(await sampleRows(COUNT))].filter((row) => row.broken !== undefined).length;

  const first = await runCommand(t, ['import', people, '--errors', refused], { env });
  t.equal(first.code, 1, 'some were refused');
  const counts = /created ([\d,]+), updated 0, unchanged 0, skipped (\d+), refused (\d+)/.exec(first.stderr);
  const [created = 0, skipped = 0, refusedRows = 0] = (counts ?? [])
    .slice(1)
    .map((text) => Number(text.replace(',', '')));
  t.equal(created, COUNT - broken, first.stderr);
  t.equal(skipped + refusedRows, broken, 'whose email is there already is skipped');

  const out = await runCommand(t, ['export', '--raw', '-o', exported], { env });
  t.match(out.stderr, `Exported ${created.toLocaleString('en')} rows`);
  const again = await runCommand(t, ['import', exported, '--on-conflict', 'update'], { env });
  t.equal(again.code, 0, again.stderr);
  t.match(
    again.stderr,
    `created 0, updated 0, unchanged ${created.toLocaleString('en')}, skipped 0, refused 0`,
  );
  const mended = await runCommand(t, ['import', refused], { env });
  t.match(
    mended.stderr,
    `refused ${refusedRows}.`,
    'what is sent again without being mended is refused again',
  );
  t.ok((await readFile(refused)).length > 0);
});

t.test('an answer that is lost after the upload does not import twice', async (t) => {
  const { base } = await startService(t, { DATABASE_URL: await emptyDatabase(t, 'sqlite') });
  const { url, lost } = await losingFirstAnswer(t, base);
  const file = join(t.testdir({}), 'people.csv');
  await writeFile(file, 'name,email\nAda Lovelace,ada@example.com\n');
  const { code, stderr } = await runCommand(t, ['import', file], { env: { MUSTER_URL: url } });
  t.equal(code, 0, stderr);
  t.match(stderr, /created 1, /);
  t.ok(lost() > 1, 'it was sent again');
  const tasks = (await (await fetch(`${base}/tasks?kind=import`)).json()) as unknown[];
  t.equal(tasks.length, 1);
});

t.test('what was piped in cannot be sent again, and that is said', async (t) => {
  const { base } = await startService(t, { DATABASE_URL: await emptyDatabase(t, 'sqlite') });
  const { url } = await losingFirstAnswer(t, base);
  const input = 'name,email\nAda Lovelace,ada@example.com\n';
  const { code, stderr } = await runCommand(t, ['import', '-'], { env: { MUSTER_URL: url }, input });
  t.equal(code, 3);
  t.match(stderr, /All was sent, and the answer lost/);
});
