import { readFile } from 'node:fs/promises';
import t from 'tap';
import { SAMPLE_HEADER, sampleRows } from '../src/cli/sample.ts';
import { CLIENT_SETTINGS, loadClientConfig } from '../src/config.ts';
import { runCommand } from './support/command.ts';

t.test('help lists every command, and how each is used', async (t) => {
  const { code, stdout, stderr } = await runCommand(t, ['help']);
  t.strictSame([code, stderr], [0, '']);
  const names = [...stdout.matchAll(/^ {2}([a-z]+) .* {2}\S/gm)].map(([, name = '']) => name);
  t.strictSame(names, [
    'import',
    'errors',
    'export',
    'sample',
    'keys',
    'backup',
    'check',
    'restored',
    'help',
  ]);
  for (const name of Object.keys(CLIENT_SETTINGS)) t.match(stdout, name);
  for (const name of names) {
    const { code, stdout } = await runCommand(t, ['help', name]);
    t.equal(code, 0);
    t.match(stdout, `npm run muster -- ${name}`);
  }
  t.equal((await runCommand(t, ['--help'])).stdout, stdout);
});

t.test('the README shows the help as it is', async (t) => {
  const readme = await readFile(new URL('../README.md', import.meta.url), 'utf8');
  t.ok(readme.includes((await runCommand(t, ['help'])).stdout));
});

t.test('wrong usage ends in 2, and says what is wrong on stderr', async (t) => {
  const wrong: [string[], RegExp][] = [
    [[], /^npm run muster -- COMMAND/],
    [['exprot'], /^There is no command exprot\./],
    [['help', 'me'], /^There is no command me\./],
    [['import'], /^FILE is missing\nHow it is used: npm run muster -- help import\n$/],
    [['import', 'a', 'b'], /^b is one argument too many/],
    [['import', 'a', '--fast'], /^Unknown option '--fast'/],
    [['import', 'a', '--on-conflict', 'merge'], /^--on-conflict is one of skip, update, fail, not merge/],
    [['import', 'a', '--patience', 'much'], /^--patience is a whole number/],
    [['export', '--format', 'xml'], /^--format is one of csv, ndjson, not xml/],
    [['sample', 'many'], /^COUNT is a whole number/],
    [['sample', '1', '--seed', '-1'], /^Option '--seed' argument is ambiguous/],
    [['keys', 'make'], /^ACTION is one of create, list, revoke, not make/],
    [['keys', 'create', 'x'], /^x is one argument too many/],
    [['keys', 'revoke'], /^ID is missing/],
    [['keys', 'create', '--scopes', 'keys'], /^--name is what/],
    [['keys', 'create', '--name', 'n'], /^--scopes are some of/],
    [['keys', 'create', '--name', 'n', '--scopes', 'keys,all'], /^--scopes are some of/],
    [['keys', 'create', '--name', 'n', '--scopes', 'keys', '--expires', '2020'], /^--expires is a time/],
    [['sample', '1', '-o', '/not/there'], /^\/not\/there cannot be written: ENOENT/],
  ];
  for (const [args, said] of wrong) {
    const { code, stdout, stderr } = await runCommand(t, args);
    t.strictSame([code, stdout], [2, ''], args.join(' '));
    t.match(stderr, said);
  }
});

t.test('what the environment holds is checked, and no key shown', async (t) => {
  t.match(loadClientConfig({}), { url: 'http://127.0.0.1:3000', key: '' });
  for (const url of [
    'localhost:3000',
    'ftp://x',
    'http://',
    'http://u:hush@x',
    'http://x/path',
    'http://x y',
  ])
    t.throws(() => loadClientConfig({ MUSTER_URL: url }), {
      message: /^MUSTER_URL="((?!hush).)*" cannot be used/,
    });
  const { code, stderr } = await runCommand(t, ['export'], { env: { MUSTER_KEY: 'hush hush' } });
  t.strictSame([code, stderr], [2, 'MUSTER_KEY="***" cannot be used: allowed is a key, without spaces\n']);
});

t.test('sample writes what the tests and benchmarks get', async (t) => {
  const { code, stdout } = await runCommand(t, ['sample', '300', '--seed', '5']);
  t.equal(code, 0);
  const rows = Buffer.concat([...(await sampleRows(300, 5))].map((row) => row.bytes));
  t.equal(stdout, SAMPLE_HEADER + rows);
});

t.test('what npm writes to stdout does not get into a file', async (t) => {
  const npm = (loglevel: string) => ({ npm_lifecycle_event: 'muster', npm_config_loglevel: loglevel });
  const loud = await runCommand(t, ['sample', '1'], { env: npm('notice') });
  t.strictSame([loud.code, loud.stdout], [2, '']);
  t.match(loud.stderr, /npm run -s muster/);
  t.equal((await runCommand(t, ['sample', '1'], { env: npm('silent') })).code, 0);
  const { stdout } = await runCommand(t, ['sample', '1'], { command: ['npm', 'run', '-s', 'muster', '--'] });
  t.ok(stdout.startsWith(SAMPLE_HEADER), 'through npm itself');
});
