import { execFileSync } from 'node:child_process';
import { PassThrough } from 'node:stream';
import t, { type Test } from 'tap';
import { Progress } from '../src/cli/progress.ts';
import { startCommand } from './support/command.ts';
import { type FakeTransfers, startFakeTransfers } from './support/fake-transfers.ts';

/** util-linux's `script` gives a command a terminal of its own. */
const hasScript = (() => {
  try {
    return execFileSync('script', ['--version'], { encoding: 'utf8' }).includes('util-linux');
  } catch {
    return false;
  }
})();
const skip = hasScript ? false : 'there is no script of util-linux to make a terminal';

/** A whole command line, typed at a terminal. What is written to its stdin is typed, too. */
function type(t: Test, fake: FakeTransfers, line: string) {
  const command = ['script', '-qec', `stty cols 100; ${line}`, '/dev/null'];
  return startCommand(t, [], { env: { MUSTER_URL: fake.url }, command });
}

/** Goes on as a task does, until the test is over. */
function moving(t: Test, fake: FakeTransfers): void {
  let done = 0;
  const timer = setInterval(() => {
    done = Math.min(done + 10_000, 900_000);
    fake.change({ progress: { done, total: 1_000_000 } });
  }, 50);
  t.teardown(() => clearInterval(timer));
}

t.test('on a terminal one line shows rows, rate and time left', { skip }, async (t) => {
  const fake = await startFakeTransfers(t);
  const terminal = type(t, fake, `${process.execPath} src/cli/muster.ts import README.md`);
  moving(t, fake);
  await terminal.said(
    /\rimporting {2}\[#+-+\] {2} *\d+ % {2}\d+,000 rows {2}[\d,]+ rows\/s {2}00:\d\d:\d\d left/,
  );
  await terminal.said(/(\r[^\r\n]+){6}/); // it is drawn again and again
  fake.change({ state: 'succeeded', result: { refused: 1 } });
  t.equal(await terminal.ended, 1, 'the exit code goes through');
  t.notMatch(terminal.stdout(), /\u001b/, 'no escape codes');
  const drawn = terminal.stdout().split(/[\r\n]+/);
  t.ok(Math.max(...drawn.map((line) => line.length)) < 100, 'and fits');
});

t.test('Ctrl-C cancels the task and waits for its end, also through npm', { skip }, async (t) => {
  const fake = await startFakeTransfers(t);
  const terminal = type(t, fake, 'npm run muster -- import README.md');
  moving(t, fake);
  await terminal.said(/importing .*left/);
  terminal.process.stdin?.write('\x03');
  await fake.until(() => fake.asked('POST /tasks/7/cancel'));
  const shown = terminal.stdout().length;
  await terminal.said(new RegExp(`[^]{${shown + 200}}`)); // it goes on showing
  fake.change({ state: 'cancelled', result: { created: 450 } });
  await terminal.said(/Task 7 cancelled: created 450,/);
  t.equal(await terminal.ended, 130);
});

t.test('a second Ctrl-C leaves at once', { skip }, async (t) => {
  const fake = await startFakeTransfers(t);
  const terminal = type(t, fake, 'npm run muster -- import README.md');
  moving(t, fake);
  await terminal.said(/importing/);
  const fingers = setInterval(() => terminal.process.stdin?.write('\x03'), 700);
  t.teardown(() => clearInterval(fingers));
  t.equal(await terminal.ended, 130);
  t.notMatch(terminal.stdout(), /Task 7/);
});

t.test('elsewhere there are plain lines, one for each tenth at most', async (t) => {
  const output = Object.assign(new PassThrough({ encoding: 'utf8' }), { isTTY: false });
  const progress = new Progress(output, 'importing');
  t.teardown(() => progress.end());
  const lines: string[] = [];
  output.on('data', (text: string) => lines.push(text));
  for (let part = 0; lines.length < 2; part = Math.min(part + 0.002, 0.9)) {
    progress.update({ done: Math.round(part * 1000), unit: 'rows', part });
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  for (const line of lines)
    t.match(line, /^importing {2} +\d+ % {2}\d+ rows {2}\d+ rows\/s {2}00:\d\d:\d\d left\n$/);
});
