import { runCommand } from './support/command.ts';
import { emptyDatabase, onEachDatabase } from './support/databases.ts';
import { startService } from './support/service.ts';

onEachDatabase(
  'the first key is made without a service, which then starts where others can reach it',
  async (t, dialect) => {
    const env = { DATABASE_URL: await emptyDatabase(t, dialect), HOST: '0.0.0.0' };
    const made = await runCommand(t, ['keys', 'create', '--name', 'admin', '--scopes', 'keys, users:read'], {
      env,
    });
    t.equal(made.code, 0, made.stderr);
    t.match(made.stdout, /^mk_[a-z0-9]{12}_[\w-]{43}\n$/);
    t.match(made.stderr, /may keys, users:read/);
    const [, id = ''] = made.stdout.split('_');

    const service = await startService(t, env);
    const port = new URL(service.base).port;
    const ask = async (headers: Record<string, string> = {}) =>
      (await fetch(`http://127.0.0.1:${port}/users`, { headers })).status;
    t.equal(await ask(), 401);
    t.equal(await ask({ authorization: `Bearer ${made.stdout.trim()}` }), 200);
    if (dialect === 'sqlite') {
      const late = await runCommand(t, ['keys', 'list'], { env });
      t.equal(late.code, 2);
      t.match(late.stderr, /in use by another process/);
    }
    await service.end('SIGTERM');

    const listed = await runCommand(t, ['keys', 'list'], { env });
    t.match(JSON.parse(listed.stdout), { id, name: 'admin', scopes: ['keys', 'users:read'] });
    t.equal((await runCommand(t, ['keys', 'revoke', id], { env })).code, 0);
    t.equal((await runCommand(t, ['keys', 'revoke', id], { env })).code, 3);
  },
);
