import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import t from 'tap';
import { OTEL_SETTINGS, SETTINGS } from '../src/config.ts';
import { emptyDatabase } from './support/databases.ts';
import { startService } from './support/service.ts';
import { faults } from './torture/faults.ts';
import { RESULTS, type Result, table } from './torture/table.ts';

const readme = await readFile(new URL('../README.md', import.meta.url), 'utf8');
const run = promisify(execFile);

/** What differs from run to run: times, request ids, cursors. */
function settle(output: string): string {
  return output
    .replace(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, 'TIME')
    .replace(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, 'ID')
    .replace(/after=[\w-]+/g, 'after=CURSOR')
    .replace(/\r/g, '')
    .split('\n')
    .filter((line) => line !== '')
    .join('\n');
}

t.test('the tour in the README does what it says', async (t) => {
  const service = await startService(t, { DATABASE_URL: await emptyDatabase(t, 'sqlite') });
  const [, tour = ''] = /## A tour in five minutes\n([\s\S]+?)\n## /.exec(readme) ?? [];
  const steps = [...tour.matchAll(/```sh\n([\s\S]+?)```\n```json\n([\s\S]+?)```/g)];
  t.ok(steps.length >= 8, `${steps.length} steps`);
  for (const [, commands = '', expected = ''] of steps) {
    // Bodies have no line end of their own.
    const script = `curl() { command curl "$@"; echo; }\n${commands.replaceAll('http://127.0.0.1:3000', service.base)}`;
    // The test runner would load its own hooks into a command that is Node.
    const { stdout } = await run('env', ['-u', 'NODE_OPTIONS', 'bash', '-e', '-c', script]);
    t.equal(settle(stdout), settle(expected), commands);
  }
});

t.test('the README lists every setting with its default', async (t) => {
  for (const [name, setting] of Object.entries({ ...SETTINGS, ...OTEL_SETTINGS })) {
    t.ok(readme.includes(`| \`${name}\` | \`${setting.default}\` |`), name);
  }
});

t.test('the README has a line for every dependency, and each is pinned exactly', async (t) => {
  const manifest = JSON.parse(await readFile(new URL('../package.json', import.meta.url), 'utf8'));
  for (const [name, version] of Object.entries({
    ...manifest.dependencies,
    ...manifest.optionalDependencies,
    ...manifest.devDependencies,
  })) {
    const short = name.startsWith('@mikro-orm/') ? name.slice('@mikro-orm/'.length) : name;
    t.ok(
      readme.includes(`\`${name}\``) || readme.includes(`\`${short}\``) || name.startsWith('@types/'),
      `${name} is named`,
    );
    t.match(version, /^\d+\.\d+\.\d+(-[\w.]+)?$/, `${name} is exact`);
  }
});

t.test('the README has the table that the last whole torture printed, of all faults there are', async (t) => {
  const { results }: { results: Result[] } = JSON.parse(await readFile(RESULTS, 'utf8'));
  t.ok(readme.includes(table(results)));
  const run = results.map(({ fault, database }) => `${fault} on ${database}`).sort();
  const all = faults.flatMap(({ name, databases }) => databases.map((database) => `${name} on ${database}`));
  t.strictSame(run, all.sort());
});
