import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import t from 'tap';
import { emptyDatabase } from './support/databases.ts';
import { temporaryFolder } from './support/owner.ts';
import { endedTask, postTask, startTaskService } from './support/task-client.ts';

t.test('a runner that was stopped for 30 s writes nothing for a task that another has taken', async (t) => {
  const databaseUrl = await emptyDatabase(t, 'postgresql');
  const journal = join(await temporaryFolder(t), 'journal');
  const env = { DATABASE_URL: databaseUrl, LOG_LEVEL: 'info', JOURNAL: journal };
  const first = await startTaskService(t, env);
  await postTask(first, { kind: 'innocent', input: { ms: 20_000 } });
  while ((await readFile(journal, 'utf8').catch(() => '')) === '') await wait(10);
  first.process.kill('SIGSTOP');
  const second = await startTaskService(t, env);
  await wait(30_000);
  t.match(await readFile(journal, 'utf8'), 'innocent 1\ninnocent 2\n', 'another has taken it');
  first.process.kill('SIGCONT');
  await first.said(/was taken by another|The lease is lost|lease is lost/);
  const task = await endedTask(second, 1);
  t.match(task, { state: 'succeeded', attempt: 2 });
  const tookMs = Date.parse(String(task.finishedAt)) - Date.parse(String(task.startedAt));
  t.ok(tookMs >= 20_000, `it ended when the second run did, ${tookMs} ms after that began`);
  t.equal(await first.end('SIGTERM'), 0, 'the first goes on, and ends in order');
});
