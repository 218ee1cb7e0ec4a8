import t from 'tap';
import { loadConfig, SETTINGS } from '../src/config.ts';
import { failService } from './support/service.ts';

t.test('without a single variable every setting has its default', async (t) => {
  t.match(loadConfig({}), {
    databaseUrl: 'sqlite:./data/muster.db',
    host: '127.0.0.1',
    port: 3000,
    logLevel: 'info',
    shutdownTimeoutMs: 10_000,
  });
  t.equal(loadConfig({ PORT: '' }).port, 3000, 'an empty one counts as none');
  t.equal(loadConfig({ PORT: '8080' }).port, 8080);
});

t.test('a value that cannot be used is named with what was given and what is allowed', async (t) => {
  const wrong: Record<string, string[]> = {
    DATABASE_URL: ['mysql://x/y', 'sqlite:', 'sqlite:x.db ', 'postgresql://host', 'postgresql://%/x'],
    DATABASE_POOL_MAX: ['0', '1.5', 'many'],
    HOST: ['a b', 'http://x'],
    PORT: ['-1', '65536', '0x50', '80 ', '1e3', 'http'],
    MIN_FREE_DISK_MB: ['-1', '64MB'],
    LOG_LEVEL: ['INFO', 'verbose'],
    JWT_ISSUER: ['issuer', 'http://issuer.example', 'https://issuer.example/?a=b'],
    JWT_AUDIENCE: [],
    TRUST_PROXY: ['true', 'all', '10.0.0.0/33', '10.0.0.1,', '0.0.0.0/0', 'proxy.example'],
    CORS_ORIGINS: ['*', 'app.example', 'https://app.example/', 'https://a.example, https://b.example'],
    RATE_LIMIT_PER_SECOND: ['-1', '1.5'],
    MAX_CONNECTIONS: ['0', '-5'],
    MAX_EVENT_LOOP_DELAY_MS: ['-1', '60001'],
    MAX_STREAMS_PER_CLIENT: ['0', 'many'],
    REQUEST_TIMEOUT_MS: ['10', '30s'],
    SHUTDOWN_TIMEOUT_MS: ['', '1', 'never'].slice(1),
    SHUTDOWN_DRAIN_MS: ['-1', '5s'],
    TASK_CONCURRENCY: ['0', '10001', 'all'],
    TASK_RETENTION_DAYS: ['0', '-1', 'ever'],
    CHANGE_RETENTION_DAYS: ['-1', '36501', 'ever'],
    IMPORT_MAX_BYTES: ['0', '-1', '2GB'],
    IDEMPOTENCY_RETENTION_DAYS: ['0', '36501', '1d'],
    WEBHOOK_ALLOWED_NETWORKS: [
      'all',
      '10.0.0.1',
      '10.0.0.0/33',
      '10.0.0.0/8;fd00::/8',
      '010.0.0.0/8',
      '::/129',
      '10.0.0.0/8,',
    ],
  };
  t.strictSame(Object.keys(wrong), Object.keys(SETTINGS), 'every variable is tried');
  for (const [name, values] of Object.entries(wrong)) {
    for (const value of values) {
      t.throws(() => loadConfig({ [name]: value }), {
        message:
          name === 'DATABASE_URL'
            ? /^DATABASE_URL=".+" cannot be used: allowed is/
            : `${name}=${JSON.stringify(value)} cannot be used: allowed is`,
      });
    }
  }
  for (const url of ['mysql://root:hush@db/x', 'postgressql://u:hu@sh@db/x', 'postgresql:u:hush@db/x']) {
    t.throws(
      () => loadConfig({ DATABASE_URL: url }),
      { message: /^((?!hush|sh@).)*$/ },
      'no password is shown',
    );
  }
});

t.test('a wrong value stops the start with one line', async (t) => {
  const { code, output } = await failService(t, { DATABASE_URL: 'sqlite::memory:', PORT: 'eighty' });
  t.equal(code, 1);
  t.equal(
    output,
    'Muster does not start: PORT="eighty" cannot be used: allowed is a whole number from 0 to 65535; 0 takes any free port\n',
  );
});
