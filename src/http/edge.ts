import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import plugin from 'fastify-plugin';
import { Malformed, type Refusal, Unavailable, UnsupportedMediaType } from '../errors.ts';
import { refuseTags } from './conditional.ts';
import { parseJson } from './json.ts';
import { bareProblem } from './problem.ts';
import { mayTakeLong } from './streaming.ts';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Answered whatever else is refused: while the service stops, and above its limits. */
    essential?: boolean;
  }
}

const NO_PARAMETERS = { type: 'object', properties: {}, additionalProperties: false };

/** What is checked of every request before its route is asked, and how bodies are read. */
export default plugin(
  async (app: FastifyInstance, { shutdownTimeoutMs }: { shutdownTimeoutMs: number }) => {
    let stopping = false;
    app.addHook('preClose', async () => {
      stopping = true;
      // Who has not sent a whole request by now, or does not read its answer, shall not hold up the end.
      setTimeout(() => app.server.closeAllConnections(), shutdownTimeoutMs * 0.9).unref();
    });
    app.addHook('onSend', (_request, reply, _payload, done) => {
      if (stopping) reply.header('connection', 'close');
      done();
    });

    // A parameter that a route does not know is refused, not ignored: `?emial=` would list everybody.
    app.addHook('onRoute', (route) => {
      route.schema = { querystring: NO_PARAMETERS, ...route.schema };
    });

    // No promise: it stands before every request.
    app.addHook('onRequest', (request, _reply, done) => {
      done(
        stopping && request.routeOptions.config.essential !== true
          ? new Unavailable('stopping', 'The service is stopping.')
          : refusalOf(request),
      );
    });

    // A condition is never ignored (RFC 9110 §13.1.1). A route that has entity tags declares it, and checks it itself.
    app.addHook('preHandler', (request, _reply, done) => {
      if (request.headers['if-match'] !== undefined) {
        const { properties = {} } = (request.routeOptions.schema?.headers ?? {}) as { properties?: object };
        if (!('if-match' in properties)) refuseTags(request);
      }
      done();
    });

    app.server.on('checkExpectation', answerUnknownExpectation);

    app.removeAllContentTypeParsers();
    app.addContentTypeParser('application/json', { parseAs: 'buffer' }, readJsonBody);
  },
  { name: 'edge', dependencies: ['problem'] },
);

const MERGE_PATCH = 'application/merge-patch+json';
/** The types of bodies that a PATCH reads. */
export const PATCH_TYPES = [MERGE_PATCH, 'application/json'];

/** For a scope in which there is nothing but a PATCH. */
export function readMergePatches(scope: FastifyInstance): void {
  scope.addContentTypeParser(MERGE_PATCH, { parseAs: 'buffer' }, readJsonBody);
}

/** For `addContentTypeParser` with `parseAs: 'buffer'`. A DELETE may say that it has JSON and then have none. */
async function readJsonBody({ method }: FastifyRequest, body: Buffer): Promise<unknown> {
  return body.length === 0 && method === 'DELETE' ? undefined : parseJson(body);
}

/** What is wrong with a request whatever its route, or undefined. */
function refusalOf({ raw, headers }: FastifyRequest): Refusal | undefined {
  if (!hasOneHost(raw))
    return new Malformed('host', 'A request has exactly one Host header (RFC 9112 §3.2).');
  if (!isReadable(raw.url ?? '')) {
    return new Malformed('invalid-url', 'The URL is not percent-encoded UTF-8, or holds NUL.');
  }
  const encoding = headers['content-encoding']?.toLowerCase();
  if (encoding === undefined || encoding === 'identity') return undefined;
  return new UnsupportedMediaType(
    'content-encoding',
    `A body with Content-Encoding ${encoding} is not read here.`,
  );
}

/** Node would let two pass and answer none without a body. */
function hasOneHost({ rawHeaders, httpVersion }: IncomingMessage): boolean {
  let hosts = 0;
  for (let at = 0; at < rawHeaders.length; at += 2) if (rawHeaders[at]?.toLowerCase() === 'host') hosts++;
  return hosts === 1 || (hosts === 0 && httpVersion !== '1.1');
}

/** Fastify would read bytes that are no UTF-8 as U+FFFD, and neither database keeps NUL. */
function isReadable(url: string): boolean {
  if (!url.includes('%')) return true;
  try {
    return !decodeURIComponent(url).includes('\0');
  } catch {
    return false;
  }
}

/** Answers what Node could not even parse as HTTP; there is no request yet, so it has no id. */
export function answerBrokenRequest(error: Error & { code?: string }, socket: Socket): void {
  if (error.code === 'ERR_HTTP_REQUEST_TIMEOUT' && mayTakeLong(socket)) return;
  // In the middle of an answer these bytes would be taken for a part of it.
  const isAnswering =
    (socket as Socket & { _httpMessage?: ServerResponse })._httpMessage?.headersSent === true;
  if (error.code === 'ECONNRESET' || !socket.writable || isAnswering) return void socket.destroy();
  const [status, detail] = BROKEN_REQUESTS[error.code ?? ''] ?? [
    400,
    'The request is not HTTP/1.1 (RFC 9112).',
  ];
  const { title, headers, body } = bareProblem(status, detail);
  const head = Object.entries({ ...headers, connection: 'close' }).map(
    ([name, value]) => `${name}: ${value}`,
  );
  socket.end([`HTTP/1.1 ${status} ${title}`, ...head, '', body].join('\r\n'));
  setTimeout(() => socket.destroy(), LINGER_MS).unref();
}

/**
 * A client has so long to read why, and to close; closed at once, what it still sends would cost it the answer. One that
 * never closes would keep its connection for ever.
 */
const LINGER_MS = 1000;

/** RFC 9110 §10.1.1: nothing but `100-continue` can be expected. Node answers before Fastify sees the request. */
function answerUnknownExpectation(request: IncomingMessage, response: ServerResponse): void {
  const { headers, body } = bareProblem(417, `Expect: ${request.headers.expect} is not known here.`);
  response.writeHead(417, headers).end(body);
}

const BROKEN_REQUESTS: Record<string, [number, string]> = {
  HPE_HEADER_OVERFLOW: [431, 'The header is larger than 16 KiB.'],
  HPE_CHUNK_EXTENSIONS_OVERFLOW: [413, 'The chunk extensions are too large.'],
  ERR_HTTP_REQUEST_TIMEOUT: [408, 'The request did not arrive in time.'],
};
