import { isIP } from 'node:net';
import { isDatabaseUrl, redactUrl } from './db/url.ts';
import { StartError } from './errors.ts';
import { readNetworks } from './webhooks/networks.ts';

/** A setting: its default, how it is read from text (undefined: it cannot be), and what an operator is told is allowed. */
interface Setting<T> {
  default: T;
  read(text: string): T | undefined;
  allowed: string;
}

function wholeNumber(byDefault: number, least: number, most: number, what: string): Setting<number> {
  return {
    default: byDefault,
    read: (text) => (/^\d{1,10}$/.test(text) && +text >= least && +text <= most ? +text : undefined),
    allowed: `a whole number from ${least} to ${most}${what}`,
  };
}

function text(byDefault: string, isGood: (given: string) => boolean, allowed: string): Setting<string> {
  return { default: byDefault, read: (given) => (isGood(given) ? given : undefined), allowed };
}

/** Parts separated by commas, or `none`. */
function list(isGood: (part: string) => boolean, allowed: string): Setting<string> {
  const read = (given: string) => (given === 'none' || given.split(',').every(isGood) ? given : undefined);
  return { default: 'none', read, allowed: `none, or ${allowed}, separated by commas` };
}

function parts(given: string): string[] {
  return given === 'none' ? [] : given.split(',');
}

/** An address, or a block of them (CIDR). */
function isNetwork(given: string): boolean {
  const [address = '', bits, ...rest] = given.split('/');
  const version = isIP(address);
  if (version === 0 || rest.length > 0) return false;
  return bits === undefined || (/^\d{1,3}$/.test(bits) && +bits >= 1 && +bits <= (version === 4 ? 32 : 128));
}

function oneOf<T extends string>(byDefault: T, all: readonly T[]): Setting<T> {
  return {
    default: byDefault,
    read: (given) => all.find((one) => one === given),
    allowed: `one of ${all.join(', ')}`,
  };
}

/** Plain http is for tests, on this machine. */
function isIssuer(given: string): boolean {
  if (given === 'none') return true;
  const { protocol, hostname, search, hash } = URL.parse(given) ?? {};
  const isSafe = protocol === 'https:' || (protocol === 'http:' && hostname === '127.0.0.1');
  return isSafe && search === '' && hash === '';
}

/** Traces are made as soon as it is said where they go. What else is standard (headers, name, …) its library reads. */
function tracingOf(env: Env): { sampler: string; ratio: number } | undefined {
  const read = <T>(name: keyof typeof OTEL_SETTINGS, setting: Setting<T>) => readSetting(env, name, setting);
  const urls = [
    read('OTEL_EXPORTER_OTLP_ENDPOINT', OTEL_SETTINGS.OTEL_EXPORTER_OTLP_ENDPOINT),
    read('OTEL_EXPORTER_OTLP_TRACES_ENDPOINT', OTEL_SETTINGS.OTEL_EXPORTER_OTLP_TRACES_ENDPOINT),
  ];
  const exporter = read('OTEL_TRACES_EXPORTER', OTEL_SETTINGS.OTEL_TRACES_EXPORTER);
  const isDisabled = read('OTEL_SDK_DISABLED', OTEL_SETTINGS.OTEL_SDK_DISABLED) === 'true';
  read('OTEL_EXPORTER_OTLP_PROTOCOL', OTEL_SETTINGS.OTEL_EXPORTER_OTLP_PROTOCOL);
  read('OTEL_EXPORTER_OTLP_TRACES_PROTOCOL', OTEL_SETTINGS.OTEL_EXPORTER_OTLP_TRACES_PROTOCOL);
  const sampling = {
    sampler: read('OTEL_TRACES_SAMPLER', OTEL_SETTINGS.OTEL_TRACES_SAMPLER),
    ratio: read('OTEL_TRACES_SAMPLER_ARG', OTEL_SETTINGS.OTEL_TRACES_SAMPLER_ARG),
  };
  const isAsked = urls.some((url) => url !== 'none') || env.OTEL_TRACES_EXPORTER === 'otlp';
  return isAsked && !isDisabled && exporter !== 'none' ? sampling : undefined;
}

function jwtOf(issuer: string, audience: string): { issuer: string; audience: string } | undefined {
  if ((issuer === 'none') !== (audience === 'none')) {
    throw new StartError('JWT_ISSUER and JWT_AUDIENCE go together: set both, or none');
  }
  return issuer === 'none' ? undefined : { issuer, audience };
}

function isHttpUrl(given: string): boolean {
  return given === 'none' || /^https?:$/.test(URL.parse(given)?.protocol ?? '');
}

/** The standard ones of OpenTelemetry that Muster itself has to know. */
export const OTEL_SETTINGS = {
  OTEL_EXPORTER_OTLP_ENDPOINT: text('none', isHttpUrl, 'the http(s) URL of a collector'),
  OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: text('none', isHttpUrl, 'the http(s) URL that takes traces'),
  OTEL_EXPORTER_OTLP_PROTOCOL: oneOf('http/protobuf', ['http/protobuf']),
  OTEL_EXPORTER_OTLP_TRACES_PROTOCOL: oneOf('http/protobuf', ['http/protobuf']),
  OTEL_TRACES_EXPORTER: oneOf('otlp', ['otlp', 'none']),
  OTEL_SDK_DISABLED: oneOf('false', ['false', 'true']),
  OTEL_TRACES_SAMPLER: oneOf('parentbased_always_on', [
    'always_on',
    'always_off',
    'traceidratio',
    'parentbased_always_on',
    'parentbased_always_off',
    'parentbased_traceidratio',
  ]),
  OTEL_TRACES_SAMPLER_ARG: {
    default: 1,
    read: (given) => (/^\d(\.\d+)?$/.test(given) && +given <= 1 ? +given : undefined),
    allowed: 'a number from 0 to 1: the part of the traces that a ratio sampler keeps',
  } as Setting<number>,
};

/** Every setting of Muster, by the variable it is read from. */
export const SETTINGS = {
  DATABASE_URL: text(
    'sqlite:./data/muster.db',
    isDatabaseUrl,
    'sqlite:PATH, sqlite::memory: or postgresql://USER:PASSWORD@HOST:PORT/NAME',
  ),
  DATABASE_POOL_MAX: wholeNumber(10, 1, 1000, ': PostgreSQL connections per process (SQLite always has one)'),
  HOST: text('127.0.0.1', (host) => /^[A-Za-z0-9.:_-]+$/.test(host), 'the address or host name to listen on'),
  PORT: wholeNumber(3000, 0, 65_535, '; 0 takes any free port'),
  MIN_FREE_DISK_MB: wholeNumber(
    64,
    0,
    1_000_000,
    ': megabytes that must be free beside an SQLite file to be ready; 0 does not ask',
  ),
  LOG_LEVEL: oneOf('info', ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent']),
  JWT_ISSUER: text('none', isIssuer, 'none, or the https URL of an OpenID provider'),
  JWT_AUDIENCE: text('none', () => true, 'the audience that tokens must name; with JWT_ISSUER'),
  TRUST_PROXY: list(
    isNetwork,
    'addresses and CIDR blocks of proxies whose X-Forwarded-… headers are believed',
  ),
  CORS_ORIGINS: list(
    (origin) => URL.parse(origin)?.origin === origin && /^https?:/.test(origin),
    'origins such as https://app.example, whose pages may use the API',
  ),
  RATE_LIMIT_PER_SECOND: wholeNumber(
    0,
    0,
    1_000_000,
    ': requests a second of one key, or address without one, in a process; 0 sets no limit',
  ),
  MAX_CONNECTIONS: wholeNumber(
    10_000,
    1,
    1_000_000,
    ': open client connections, further ones are closed at once',
  ),
  MAX_EVENT_LOOP_DELAY_MS: wholeNumber(
    500,
    0,
    60_000,
    ': milliseconds by which the event loop may be late before requests are refused; 0: never',
  ),
  MAX_STREAMS_PER_CLIENT: wholeNumber(
    100,
    1,
    1_000_000,
    ': event streams that one client may have open in a process',
  ),
  REQUEST_TIMEOUT_MS: wholeNumber(
    30_000,
    1000,
    3_600_000,
    ': milliseconds in which a whole request must have arrived',
  ),
  SHUTDOWN_TIMEOUT_MS: wholeNumber(
    10_000,
    100,
    600_000,
    ': milliseconds in which what runs may end after a signal',
  ),
  SHUTDOWN_DRAIN_MS: wholeNumber(
    0,
    0,
    600_000,
    ': milliseconds after a signal in which all is served, but /health/ready says 503',
  ),
  TASK_CONCURRENCY: wholeNumber(10, 1, 10_000, ': background tasks at once per process'),
  TASK_RETENTION_DAYS: wholeNumber(30, 1, 36_500, ': days for which finished tasks are kept'),
  CHANGE_RETENTION_DAYS: wholeNumber(
    0,
    0,
    36_500,
    ': days for which changes are kept; 0 keeps them for ever',
  ),
  IMPORT_MAX_BYTES: wholeNumber(
    2_147_483_648,
    1,
    9_999_999_999,
    ': bytes of a file that is imported, at most',
  ),
  IDEMPOTENCY_RETENTION_DAYS: wholeNumber(7, 1, 36_500, ': days for which answers are kept for a repetition'),
  WEBHOOK_ALLOWED_NETWORKS: text(
    'none',
    (list) => readNetworks(list) !== undefined,
    'none, or CIDR blocks separated by commas, such as 10.1.0.0/16,fd00::/8',
  ),
};

export type Config = ReturnType<typeof loadConfig>;

type Env = Record<string, string | undefined>;

/**
 * Reads the settings from `env`; a missing or empty variable takes its default. Nothing else reads the environment.
 * @throws {StartError} naming the variable, what was given and what is allowed
 */
export function loadConfig(env: Env = process.env) {
  const read = <T>(name: keyof typeof SETTINGS, setting: Setting<T>) => readSetting(env, name, setting);
  return {
    databaseUrl: read('DATABASE_URL', SETTINGS.DATABASE_URL),
    databasePoolMax: read('DATABASE_POOL_MAX', SETTINGS.DATABASE_POOL_MAX),
    host: read('HOST', SETTINGS.HOST),
    port: read('PORT', SETTINGS.PORT),
    minFreeDiskMb: read('MIN_FREE_DISK_MB', SETTINGS.MIN_FREE_DISK_MB),
    logLevel: read('LOG_LEVEL', SETTINGS.LOG_LEVEL),
    jwt: jwtOf(read('JWT_ISSUER', SETTINGS.JWT_ISSUER), read('JWT_AUDIENCE', SETTINGS.JWT_AUDIENCE)),
    trustProxy: parts(read('TRUST_PROXY', SETTINGS.TRUST_PROXY)),
    corsOrigins: parts(read('CORS_ORIGINS', SETTINGS.CORS_ORIGINS)),
    rateLimitPerSecond: read('RATE_LIMIT_PER_SECOND', SETTINGS.RATE_LIMIT_PER_SECOND),
    maxConnections: read('MAX_CONNECTIONS', SETTINGS.MAX_CONNECTIONS),
    maxEventLoopDelayMs: read('MAX_EVENT_LOOP_DELAY_MS', SETTINGS.MAX_EVENT_LOOP_DELAY_MS),
    maxStreamsPerClient: read('MAX_STREAMS_PER_CLIENT', SETTINGS.MAX_STREAMS_PER_CLIENT),
    requestTimeoutMs: read('REQUEST_TIMEOUT_MS', SETTINGS.REQUEST_TIMEOUT_MS),
    taskConcurrency: read('TASK_CONCURRENCY', SETTINGS.TASK_CONCURRENCY),
    taskRetentionDays: read('TASK_RETENTION_DAYS', SETTINGS.TASK_RETENTION_DAYS),
    changeRetentionDays: read('CHANGE_RETENTION_DAYS', SETTINGS.CHANGE_RETENTION_DAYS),
    importMaxBytes: read('IMPORT_MAX_BYTES', SETTINGS.IMPORT_MAX_BYTES),
    idempotencyRetentionDays: read('IDEMPOTENCY_RETENTION_DAYS', SETTINGS.IDEMPOTENCY_RETENTION_DAYS),
    webhookAllowedNetworks: read('WEBHOOK_ALLOWED_NETWORKS', SETTINGS.WEBHOOK_ALLOWED_NETWORKS),
    shutdownTimeoutMs: read('SHUTDOWN_TIMEOUT_MS', SETTINGS.SHUTDOWN_TIMEOUT_MS),
    shutdownDrainMs: read('SHUTDOWN_DRAIN_MS', SETTINGS.SHUTDOWN_DRAIN_MS),
    tracing: tracingOf(env),
  };
}

/** What the commands ask of the environment. */
export const CLIENT_SETTINGS = {
  MUSTER_URL: text(
    'http://127.0.0.1:3000',
    (given) => /^https?:\/\/[^\s/?#@]+\/?$/.test(given) && URL.canParse(given),
    'http://HOST:PORT or https://HOST:PORT',
  ),
  MUSTER_KEY: text('', (given) => /^[\x21-\x7e]+$/.test(given), 'a key, without spaces'),
};

/** Reads what the commands ask of the environment, as `loadConfig` does. */
export function loadClientConfig(env: Env = process.env) {
  return {
    url: readSetting(env, 'MUSTER_URL', CLIENT_SETTINGS.MUSTER_URL),
    key: readSetting(env, 'MUSTER_KEY', CLIENT_SETTINGS.MUSTER_KEY),
    /** Whether npm has written to this stdout which script it runs. */
    isAfterNpmLines: env.npm_lifecycle_event === 'muster' && env.npm_config_loglevel !== 'silent',
  };
}

/** What is given may be a secret. */
const SHOWN: Record<string, (given: string) => string> = {
  DATABASE_URL: redactUrl,
  OTEL_EXPORTER_OTLP_ENDPOINT: redactUrl,
  OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: redactUrl,
  MUSTER_URL: redactUrl,
  MUSTER_KEY: () => '***',
};

function readSetting<T>(env: Env, name: string, setting: Setting<T>): T {
  const given = env[name] ?? '';
  const value = given === '' ? setting.default : setting.read(given);
  if (value !== undefined) return value;
  const shown = JSON.stringify(SHOWN[name]?.(given) ?? given);
  throw new StartError(`${name}=${shown} cannot be used: allowed is ${setting.allowed}`);
}
