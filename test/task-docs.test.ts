import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { TaskKind } from '../src/tasks/kinds.ts';
import { onEachDatabase } from './support/databases.ts';
import { temporaryFolder } from './support/owner.ts';
import { settled, startTasks } from './support/tasks.ts';

onEachDatabase('the kind in docs/tasks.md works as it stands there', async (t, dialect) => {
  const page = await readFile(new URL('../docs/tasks.md', import.meta.url), 'utf8');
  const [, code = ''] = /```ts\n([\s\S]+?)```/.exec(page) ?? [];
  t.ok(code.split('\n').length <= 20, 'in twenty lines');
  const file = join(await temporaryFolder(t), 'greet.task.ts');
  const here = code.replace(`'./kinds.ts'`, `'${new URL('../src/tasks/kinds.ts', import.meta.url)}'`);
  await writeFile(file, here);
  const { greet }: { greet: TaskKind } = await import(pathToFileURL(file).href);
  const { request, logged, app } = await startTasks(t, dialect, [greet]);
  await request('POST', '/tasks', { json: { kind: 'greet', input: { name: 'Ada' } } });
  t.match(await logged('Hello, Ada'), { kind: 'greet', task: 1 });
  t.match(await settled(app, 1), { state: 'succeeded', result: { greeted: 'Ada' } });
});
