import type { FastifyInstance, InjectOptions, LightMyRequestResponse } from 'fastify';
import type { Test } from 'tap';
import { buildApp } from '../../src/app.ts';
import { type Config, loadConfig } from '../../src/config.ts';
import type { DialectName } from '../../src/db/url.ts';
import { freshDatabase } from './databases.ts';
import { checkAnswer } from './fetch.ts';

export interface LogLine {
  level: number;
  msg: string;
  [member: string]: unknown;
}

export interface TestApp {
  app: FastifyInstance;
  /** Every line that was logged so far. */
  log: LogLine[];
  /** Waits until a line with this message has been logged. */
  logged(message: string | RegExp): Promise<LogLine>;
  /** Waits until so many tasks are running. */
  running(count: number): Promise<void>;
  /** Sends a request without a network; an answer that is not as the API document says fails the test. */
  request(
    method: NonNullable<InjectOptions['method']>,
    url: string,
    options?: RequestOptions,
  ): Promise<Answer>;
}

export interface RequestOptions {
  json?: unknown;
  body?: string | Buffer;
  headers?: Record<string, string>;
}

export interface Answer {
  status: number;
  headers: LightMyRequestResponse['headers'];
  text: string;
  /** The body as JSON. */
  json<T = Record<string, unknown>>(): T;
}

export function testConfig(overrides: Partial<Config> = {}): Config {
  return {
    ...loadConfig({}),
    databaseUrl: 'sqlite::memory:',
    port: 0,
    maxEventLoopDelayMs: 0, // whatever a busy machine does to it: only a test of refusals is to be refused
    ...overrides,
  };
}

/** An app of this test's own, on a fresh database, closed when the test ends. */
export async function startApp(
  test: Test,
  dialect: DialectName,
  overrides: Partial<Config> = {},
  extra: Parameters<typeof buildApp>[2] = {},
): Promise<TestApp> {
  const log: LogLine[] = [];
  const waiting: { matches(line: LogLine): boolean; resolve(line: LogLine): void }[] = [];
  const stream = {
    write(text: string) {
      const line: LogLine = JSON.parse(text);
      log.push(line);
      for (const one of waiting) if (one.matches(line)) one.resolve(line);
    },
  };
  const databaseUrl = overrides.databaseUrl ?? (await freshDatabase(dialect));
  const app = await buildApp(testConfig({ ...overrides, databaseUrl }), stream, extra);
  test.teardown(() => app.close());
  await app.ready();
  return {
    app,
    log,
    logged(message) {
      const matches = (line: LogLine) =>
        typeof message === 'string' ? line.msg === message : message.test(line.msg);
      const already = log.find(matches);
      if (already !== undefined) return Promise.resolve(already);
      return new Promise((resolve) => waiting.push({ matches, resolve }));
    },
    async running(count) {
      const states = () =>
        app.reader.read<{ n: number }>(`select count(*) as n from tasks where state = 'running'`, []);
      while (Number((await states())[0]?.n) !== count) await app.tasks.watch.next();
    },
    request: (method, url, options) => send(app, method, url, options),
  };
}

async function send(
  app: FastifyInstance,
  method: NonNullable<InjectOptions['method']>,
  url: string,
  { json, body, headers = {} }: RequestOptions = {},
): Promise<Answer> {
  const type = method === 'PATCH' ? 'application/merge-patch+json' : 'application/json';
  const payload = json === undefined ? body : JSON.stringify(json);
  const response = await app.inject({
    method,
    url,
    headers: { ...(payload !== undefined && { 'content-type': type }), ...headers },
    ...(payload !== undefined && { payload }),
  });
  const { statusCode, payload: text } = response;
  checkAnswer({ method, url, statusCode, headers: response.headers, body: text });
  return {
    status: response.statusCode,
    headers: response.headers,
    text: response.payload,
    json: <T>() => response.json<T>(),
  };
}

/** The pointers of a problem document, sorted. */
export function pointers(answer: Answer): string[] {
  const { errors = [] } = answer.json<{ errors?: { pointer: string }[] }>();
  return errors.map((fault) => fault.pointer).sort();
}
