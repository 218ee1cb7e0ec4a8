import { randomBytes } from 'node:crypto';
import { readFile, symlink, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { runCommand, startCommand } from './support/command.ts';
import { type FakeTransfers, startFakeTransfers } from './support/fake-transfers.ts';

const PEOPLE = 'name,email\nAda Lovelace,ada@example.com\n';
const ALL_IN = { created: 1, updated: 0, unchanged: 0, skipped: 0, refused: 0 };

async function fileOf(t: Test, content: string | Buffer = PEOPLE, name = 'people.csv'): Promise<string> {
  const file = join(t.testdir({}), name);
  await writeFile(file, content);
  return file;
}

const envOf = (fake: FakeTransfers, more: Record<string, string> = {}) => ({
  env: { MUSTER_URL: fake.url, ...more },
});

/** Starts an import, and waits until it follows its task. */
async function startFollowed(t: Test, fake: FakeTransfers, ...args: string[]) {
  const before = fake.looks;
  const command = startCommand(t, ['import', await fileOf(t), ...args], envOf(fake));
  await fake.until(() => fake.looks > before);
  return command;
}

t.test('all of a file goes in: its bytes, its format, the key and what was asked for arrive', async (t) => {
  const fake = await startFakeTransfers(t, { task: { id: 7, state: 'succeeded', result: ALL_IN } });
  const bytes = randomBytes(3_000_000);
  const { code, stdout, stderr } = await runCommand(
    t,
    ['import', await fileOf(t, bytes), '--on-conflict', 'update', '--dry-run'],
    envOf(fake, { MUSTER_KEY: 'mk_1_secret' }),
  );
  t.equal(code, 0, stderr);
  t.equal(stdout, '');
  t.match(stderr, /Task 7 succeeded: created 1, updated 0, unchanged 0, skipped 0, refused 0 \(a dry run/);
  t.ok(fake.uploaded.equals(bytes));
  t.equal(fake.requests[0], 'POST /users/import?onConflict=update&dryRun=true');
  t.match(fake.headers[0], {
    'content-type': 'text/csv',
    'content-length': '3000000',
    authorization: 'Bearer mk_1_secret',
  });
});

t.test('an import reads stdin, and NDJSON by name or option', async (t) => {
  const fake = await startFakeTransfers(t, { task: { id: 7, state: 'succeeded', result: ALL_IN } });
  const line = '{"name":"Ada","email":"ada@example.com"}\n';
  const piped = await runCommand(t, ['import', '-', '--format', 'ndjson'], { ...envOf(fake), input: line });
  t.equal(piped.code, 0, piped.stderr);
  t.equal(`${fake.uploaded}`, line);
  t.match(fake.headers[0], { 'content-type': 'application/x-ndjson', 'transfer-encoding': 'chunked' });
  await runCommand(t, ['import', await fileOf(t, line, 'people.NDJSON')], envOf(fake));
  t.equal(
    fake.headers.at(-2)?.['content-type'] ?? fake.headers.at(-1)?.['content-type'],
    'application/x-ndjson',
  );
});

t.test('refused rows end in 1, and are written where one asks for them', async (t) => {
  const fake = await startFakeTransfers(t, {
    task: { id: 7, state: 'succeeded', result: { ...ALL_IN, refused: 12_345 } },
    refusedRows: 'line,reason,name,email\n3,no email,Bob,\n',
  });
  const file = await fileOf(t);
  const plain = await runCommand(t, ['import', file], envOf(fake));
  t.equal(plain.code, 1);
  t.match(
    plain.stderr,
    /refused 12,345\.\nThe refused rows: npm run -s muster -- errors 7 > refused\.csv\n$/,
  );
  const refused = `${file}.refused`;
  const written = await runCommand(t, ['import', file, '--errors', refused], envOf(fake));
  t.equal(written.code, 1);
  t.equal(await readFile(refused, 'utf8'), fake.refusedRows);
  const later = await runCommand(t, ['errors', '7'], envOf(fake));
  t.strictSame([later.code, later.stdout], [0, fake.refusedRows]);
});

t.test('a task that fails, or that somebody else cancels, ends in 4 and says why', async (t) => {
  const fake = await startFakeTransfers(t);
  const failing = await startFollowed(t, fake);
  fake.change({ state: 'failed', error: { message: 'The disk\u001b[31m is full.' } });
  t.equal(await failing.ended, 4);
  t.match(failing.stderr(), 'Task 7 failed: 0 rows were done. The disk [31m is full.\n');
  fake.task = { id: 7, state: 'running', progress: { done: 1200 } };
  const cancelled = await startFollowed(t, fake);
  fake.change({ state: 'cancelled' });
  t.equal(await cancelled.ended, 4);
  t.match(cancelled.stderr(), 'Task 7 cancelled: 1,200 rows were done.\n');
});

t.test('a refusal ends in 3 with all that is wrong, also in the middle of an upload', async (t) => {
  const errors = [{ in: 'query', pointer: '#/onConflict', detail: 'is\u001b[2J wrong' }];
  const fake = await startFakeTransfers(t, {
    refusal: { status: 422, body: { title: 'Unprocessable', detail: 'Not so.', errors } },
  });
  for (const size of [10, 50_000_000]) {
    const { code, stderr } = await runCommand(
      t,
      ['import', await fileOf(t, Buffer.alloc(size))],
      envOf(fake),
    );
    t.equal(code, 3, stderr);
    t.match(stderr, `refused: 422 Unprocessable Entity: Not so.\n  query #/onConflict: is\ufffd[2J wrong\n`);
  }
});

t.test('a service that is not there, and what is no Muster, end in 3', async (t) => {
  const fake = await startFakeTransfers(t, { refusal: { status: 200, body: 'hello' } });
  const strange = await runCommand(t, ['import', await fileOf(t)], envOf(fake));
  t.equal(strange.code, 3);
  t.match(strange.stderr, /no JSON: is it Muster\?\n$/);
  await fake.kill();
  const gone = await runCommand(t, ['import', await fileOf(t)], envOf(fake));
  t.equal(gone.code, 3);
  t.match(gone.stderr, /cannot be reached: .*ECONNREFUSED.*\nNothing was imported\.\n$/);
});

t.test('what cannot be read or written is said before anything is sent', async (t) => {
  const fake = await startFakeTransfers(t);
  const file = await fileOf(t);
  for (const args of [[`${file}.not`], [join(file, '..')], [file, '--errors', '/not/there/x']]) {
    const { code, stderr } = await runCommand(t, ['import', ...args], envOf(fake));
    t.equal(code, 2);
    t.match(stderr, /cannot be (read|written): /);
  }
  t.strictSame(fake.requests, []);
});

t.test('the refused rows do not go where the file is', async (t) => {
  const fake = await startFakeTransfers(t, { task: { id: 7, state: 'succeeded', result: ALL_IN } });
  const file = await fileOf(t);
  const other = `${file}.link`;
  await symlink(file, other);
  const shell = ['bash', '-c', `exec "$0" src/cli/muster.ts import - --errors "$1" < "$1"`, process.execPath];
  for (const { code, stderr } of [
    await runCommand(t, ['import', file, '--errors', file], envOf(fake)),
    await runCommand(t, ['import', file, '--dry-run', '--errors', other], envOf(fake)),
    await runCommand(t, [file], { ...envOf(fake), command: shell }),
  ]) {
    t.equal(code, 2);
    t.match(stderr, /^\S+ cannot be written: it is the file that is imported\n$/);
  }
  t.strictSame(fake.requests, []);
});

t.test('answers that break off and a service that is restarted do not end it', async (t) => {
  const fake = await startFakeTransfers(t, { breaksLooks: true });
  const command = await startFollowed(t, fake);
  const looks = (count: number) => Promise.race([fake.until(() => fake.looks === count), command.ended]);
  await looks(3);
  fake.breaksLooks = false;
  await looks(5);
  await fake.kill();
  await fake.restart();
  await looks(6);
  fake.change({ state: 'succeeded', result: ALL_IN });
  t.equal(await command.ended, 0, command.stderr());
});

t.test('a service that does not come back ends in 3, and the task is named', async (t) => {
  const fake = await startFakeTransfers(t);
  const command = await startFollowed(t, fake, '--patience', '1');
  await fake.kill();
  t.equal(await command.ended, 3);
  t.match(command.stderr(), /cannot be reached: .*\nTask 7 may go on there without us\.\n$/);
});

t.test('an interrupt cancels the task, waits for its end, and says what was done', async (t) => {
  const fake = await startFakeTransfers(t, { cancelled: { result: { ...ALL_IN, created: 450 } } });
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    fake.task = { id: 7, state: 'running' };
    const command = await startFollowed(t, fake, '--errors', join(t.testdirName, 'refused.csv'));
    command.process.kill(signal);
    t.equal(await command.ended, 130, signal);
    t.match(command.stderr(), /Task 7 cancelled: created 450, /);
    t.ok(fake.asked('POST /tasks/7/cancel'));
    t.equal(await readFile(join(t.testdirName, 'refused.csv'), 'utf8'), fake.refusedRows);
  }
});

t.test('a second interrupt does not wait', async (t) => {
  const fake = await startFakeTransfers(t);
  const command = await startFollowed(t, fake);
  command.process.kill('SIGINT');
  await fake.until(() => fake.asked('POST /tasks/7/cancel'));
  const again = setInterval(() => command.process.kill('SIGINT'), 50);
  t.teardown(() => clearInterval(again));
  t.equal(await command.ended, 130);
  t.equal(fake.task.state, 'queued', 'it has not ended');
});

t.test('an interrupt of the upload breaks it off: there is no task', async (t) => {
  const fake = await startFakeTransfers(t);
  const command = startCommand(t, ['import', '-'], envOf(fake));
  command.process.stdin?.write(PEOPLE);
  await fake.until(() => fake.uploadedBytes > 0);
  command.process.kill('SIGINT');
  t.equal(await command.ended, 130);
  t.match(command.stderr(), /Interrupted\. Nothing was imported\.\n$/);
  await fake.until(() => fake.isUploadBroken);
  t.equal(fake.requests.length, 1);
});

t.test('a large file takes no more memory than a small one', async (t) => {
  const fake = await startFakeTransfers(t, { keepsUpload: false });
  const file = await fileOf(t);
  const peak = async (size: number) => {
    await truncate(file, size);
    fake.task = { id: 7, state: 'running' };
    const before = fake.looks;
    const command = startCommand(t, ['import', file], envOf(fake));
    await fake.until(() => fake.looks > before);
    const status = await readFile(`/proc/${command.process.pid}/status`, 'utf8');
    fake.change({ state: 'succeeded', result: ALL_IN });
    await command.ended;
    return Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1]) / 1000;
  };
  const small = await peak(1000);
  const large = await peak(400_000_000);
  // Under load the collector comes late; a file that was held would be 400.
  t.ok(large - small < 120, `${small} MB, and ${large} MB for a file of 400 MB`);
});
