import AjvCompiler from '@fastify/ajv-compiler';
import { type Static, Type } from 'typebox';
import { StartError } from './errors.ts';

const LOG_LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const;
type LogLevel = (typeof LOG_LEVELS)[number];

/**
 * Every setting of Muster, read from the environment and nowhere else.
 * `description` is what an operator is told when a value is refused, and what the README's table says.
 */
export const Environment = Type.Object({
  DATABASE_URL: Type.String({
    default: 'sqlite:./data/muster.db',
    pattern: '^(sqlite:.+|postgres(ql)?://.+)$',
    description: 'sqlite:PATH, sqlite::memory: or postgresql://USER:PASSWORD@HOST:PORT/NAME',
  }),
  DATABASE_POOL_MAX: Type.Integer({
    default: 10,
    minimum: 1,
    maximum: 1000,
    description: 'a whole number from 1 to 1000: PostgreSQL connections per process (SQLite always has one)',
  }),
  HOST: Type.String({
    default: '127.0.0.1',
    minLength: 1,
    pattern: '^[A-Za-z0-9.:_-]+$',
    description: 'the address or host name to listen on',
  }),
  PORT: Type.Integer({
    default: 3000,
    minimum: 0,
    maximum: 65535,
    description: 'a whole number from 0 to 65535; 0 takes any free port',
  }),
  LOG_LEVEL: Type.Unsafe<LogLevel>({
    type: 'string',
    enum: LOG_LEVELS,
    default: 'info',
    description: `one of ${LOG_LEVELS.join(', ')}`,
  }),
  MAX_CONNECTIONS: Type.Integer({
    default: 10_000,
    minimum: 1,
    maximum: 1_000_000,
    description: 'a whole number from 1 to 1000000: open client connections; further ones are closed at once',
  }),
  REQUEST_TIMEOUT_MS: Type.Integer({
    default: 30_000,
    minimum: 1000,
    maximum: 3_600_000,
    description: 'milliseconds from 1000 to 3600000 in which a whole request must have arrived',
  }),
  SHUTDOWN_TIMEOUT_MS: Type.Integer({
    default: 10_000,
    minimum: 100,
    maximum: 600_000,
    description:
      'milliseconds from 100 to 600000 in which running requests and tasks may end after SIGTERM or SIGINT',
  }),
});
type Environment = Static<typeof Environment>;

export interface Config {
  databaseUrl: string;
  databasePoolMax: number;
  host: string;
  port: number;
  logLevel: LogLevel;
  maxConnections: number;
  requestTimeoutMs: number;
  shutdownTimeoutMs: number;
}

/**
 * Reads the settings from `env`; a missing or empty variable takes its default.
 * @throws {StartError} naming the variable, what was given and what is allowed
 */
export function loadConfig(env: Record<string, string | undefined> = process.env): Config {
  const compile = AjvCompiler()({}, { customOptions: { coerceTypes: false, useDefaults: false } });
  const read = <Name extends keyof Environment>(name: Name): Environment[Name] => {
    const schema = Environment.properties[name] as Setting;
    const given = env[name];
    if (given === undefined || given === '') return schema.default as Environment[Name];
    const value = typeof schema.default === 'number' && /^\d{1,10}$/.test(given) ? Number(given) : given;
    if (compile({ schema, httpPart: 'querystring' })(value)) return value as Environment[Name];
    throw new StartError(`${name}=${quote(name, given)} cannot be used: allowed is ${schema.description}`);
  };
  return {
    databaseUrl: read('DATABASE_URL'),
    databasePoolMax: read('DATABASE_POOL_MAX'),
    host: read('HOST'),
    port: read('PORT'),
    logLevel: read('LOG_LEVEL'),
    maxConnections: read('MAX_CONNECTIONS'),
    requestTimeoutMs: read('REQUEST_TIMEOUT_MS'),
    shutdownTimeoutMs: read('SHUTDOWN_TIMEOUT_MS'),
  };
}

interface Setting {
  default?: unknown;
  description?: string;
}

/** A database URL may hold a password, which must not reach a log. */
function quote(name: string, given: string): string {
  return JSON.stringify(name === 'DATABASE_URL' ? given.replace(/\/\/[^@]*@/, '//***@') : given);
}
