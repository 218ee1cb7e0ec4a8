import { lstat, readdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { runCommand, startCommand } from './support/command.ts';
import { startFakeTransfers } from './support/fake-transfers.ts';

const HEADER = 'name,email,notes\n';
const ROW = 'Ada,ada@example.com,"one\n""two"""\n';

t.test('an export to stdout is the data alone', async (t) => {
  const fake = await startFakeTransfers(t, { exported: [HEADER, ROW, ROW] });
  const { code, stdout, stderr } = await runCommand(t, ['export'], { env: { MUSTER_URL: fake.url } });
  t.equal(code, 0);
  t.equal(stdout, HEADER + ROW + ROW);
  t.equal(stderr, 'Exported 2 rows, as of position 42.\n');
  t.strictSame(fake.requests, ['GET /users/export?format=csv']);
});

t.test('filters, format and raw are asked for', async (t) => {
  const fake = await startFakeTransfers(t, { exported: ['{"name":"\\"Ada"}\n'] });
  const target = join(t.testdir({}), 'people.jsonl');
  const filters = ['--raw', '--email', 'a+b@example.com', '--name', 'Ada & Co', '--q', 'ada'];
  const { stderr } = await runCommand(t, ['export', '-o', target, ...filters], {
    env: { MUSTER_URL: fake.url },
  });
  t.match(stderr, 'Exported 1 rows');
  t.strictSame(fake.requests, [
    'GET /users/export?format=ndjson&raw=true&email=a%2Bb%40example.com&name=Ada+%26+Co&q=ada',
  ]);
});

t.test(
  'a file is there when it is whole: one that breaks off leaves the old one, and nothing else',
  async (t) => {
    const fake = await startFakeTransfers(t, { exported: [HEADER, ROW] });
    const folder = t.testdir({});
    const target = join(folder, 'people.csv');
    const env = { MUSTER_URL: fake.url };
    await writeFile(target, 'the old one');
    fake.breaksExport = true;
    const broken = await runCommand(t, ['export', '-o', target], { env });
    t.equal(broken.code, 3);
    t.match(broken.stderr, /broke off: /);
    t.equal(await readFile(target, 'utf8'), 'the old one');
    t.strictSame(await readdir(folder), ['people.csv']);
    fake.breaksExport = false;
    t.equal((await runCommand(t, ['export', '-o', target], { env })).code, 0);
    t.equal(await readFile(target, 'utf8'), HEADER + ROW);
    t.strictSame(await readdir(folder), ['people.csv']);
  },
);

t.test('an interrupt leaves no half file', async (t) => {
  const fake = await startFakeTransfers(t, {
    exported: [HEADER, ...Array<string>(200_000).fill(ROW.repeat(100))],
  });
  const folder = t.testdir({});
  const command = startCommand(t, ['export', '-o', join(folder, 'people.csv')], {
    env: { MUSTER_URL: fake.url },
  });
  while ((await readdir(folder)).length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  command.process.kill('SIGINT');
  t.equal(await command.ended, 130);
  t.strictSame(await readdir(folder), []);
});

t.test('a device is written to, a link followed, neither is replaced', async (t) => {
  const fake = await startFakeTransfers(t, { exported: [HEADER] });
  const env = { MUSTER_URL: fake.url };
  const folder = t.testdir({ 'real.csv': '' });
  const [link, full] = [join(folder, 'link.csv'), join(folder, 'full')];
  await symlink('real.csv', link);
  await symlink('/dev/full', full);
  t.equal((await runCommand(t, ['export', '-o', link], { env })).code, 0);
  t.equal(await readFile(join(folder, 'real.csv'), 'utf8'), HEADER);
  const refused = await runCommand(t, ['export', '-o', full], { env });
  t.equal(refused.code, 2);
  t.match(refused.stderr, /cannot be written: ENOSPC/);
  t.ok((await lstat(link)).isSymbolicLink());
  t.ok((await lstat(full)).isSymbolicLink());
});

t.test('a stdout that takes no more ends it with one line', async (t) => {
  const fake = await startFakeTransfers(t, { exported: [HEADER, ROW] });
  const shell = ['bash', '-c', `exec "$0" src/cli/muster.ts "$@" > /dev/full`, process.execPath];
  const { code, stderr } = await runCommand(t, ['export'], { env: { MUSTER_URL: fake.url }, command: shell });
  t.strictSame([code, stderr], [2, 'stdout cannot be written: ENOSPC: no space left on device, write\n']);
});

t.test('a refusal writes nothing', async (t) => {
  const fake = await startFakeTransfers(t);
  const folder = t.testdir({});
  const env = { MUSTER_URL: `${fake.url}` };
  await fake.kill();
  t.equal((await runCommand(t, ['export', '-o', join(folder, 'people.csv')], { env })).code, 3);
  t.strictSame(await readdir(folder), []);
});

t.test('a reader that leaves ends it quietly, as SIGPIPE does', async (t) => {
  const fake = await startFakeTransfers(t, {
    exported: [HEADER, ...Array<string>(2000).fill(ROW.repeat(1000))],
  });
  const pipe = [
    'bash',
    '-c',
    `"$0" src/cli/muster.ts export | head -n 1; echo "\${PIPESTATUS[0]}"`,
    process.execPath,
  ];
  const { stdout, stderr } = await runCommand(t, [], { env: { MUSTER_URL: fake.url }, command: pipe });
  t.equal(stdout, `${HEADER}141\n`);
  t.equal(stderr, '');
});
