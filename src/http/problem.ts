import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import plugin from 'fastify-plugin';
import { databaseFailure } from '../db/failures.ts';
import {
  Conflict,
  type Fault,
  Forbidden,
  Gone,
  Invalid,
  Malformed,
  NotFound,
  PreconditionFailed,
  Refusal,
  Shed,
  TooLarge,
  TooMany,
  Unauthorized,
  Unavailable,
  UnsupportedMediaType,
} from '../errors.ts';
import { SECURITY_HEADERS } from './headers.ts';
import { ref, textSchema } from './schemas.ts';
import { faultsOf } from './validation.ts';

const FaultView = {
  type: 'object',
  required: ['in', 'pointer', 'detail'],
  properties: {
    in: {
      type: 'string',
      enum: ['body', 'query', 'path', 'headers'],
      description: 'the part of the request that it is in',
      examples: ['body'],
    },
    pointer: textSchema('a JSON Pointer as a URI fragment (RFC 6901 §6)', '#/name'),
    detail: textSchema('what is wrong there, for people', 'is required'),
  },
  $id: 'Fault',
  description: 'One thing that is wrong, and where.',
  examples: [{ in: 'body', pointer: '#/name', detail: 'is required' }],
} as const;

export const Problem = {
  type: 'object',
  required: ['type', 'title', 'status', 'detail', 'instance'],
  properties: {
    type: {
      type: 'string',
      format: 'uri',
      description: '`about:blank`, or `urn:problem-type:muster:` and the exact case',
      examples: ['urn:problem-type:muster:email-taken'],
    },
    title: textSchema('the status in words', 'Conflict'),
    status: {
      type: 'integer',
      minimum: 400,
      maximum: 599,
      description: 'the HTTP status, once more',
      examples: [409],
    },
    detail: textSchema('what went wrong this time, for people', 'Another user has this email.'),
    instance: textSchema(
      'the id of the request, as in the log; `about:blank` of one that could not be read as HTTP',
      '0f8fad5b-d9cb-469f-a165-70867728950e',
    ),
    errors: {
      type: 'array',
      items: ref(FaultView),
      description: 'everything that is wrong, where it is',
    },
    checks: {
      type: 'object',
      additionalProperties: { type: 'object' },
      description: 'of a replica that is not ready: every check by its name, as in `Health`',
      examples: [{ database: { status: 'failed', detail: 'gave no answer within a second' } }],
    },
    error: textSchema('only on the tutorial’s routes: its own words', 'User not found'),
  },
  $id: 'Problem',
  description: 'Why a request was refused (RFC 9457). Its `type` and `status` are for programs.',
  examples: [
    {
      type: 'urn:problem-type:muster:email-taken',
      title: 'Conflict',
      status: 409,
      detail: 'Another user has this email.',
      instance: '0f8fad5b-d9cb-469f-a165-70867728950e',
    },
  ],
} as const;

export interface ProblemBody {
  type: string;
  title: string;
  status: number;
  detail: string;
  instance: string;
  errors?: readonly Fault[];
  error?: string;
  checks?: object;
}

/** Not by `import`: that would read every export of the module, and one of them loads undici, 16 ms at each start. */
const { STATUS_CODES } = process.getBuiltinModule('node:http');

const STATUS_OF = new Map<unknown, number>([
  [Malformed, 400],
  [Unauthorized, 401],
  [Forbidden, 403],
  [NotFound, 404],
  [Conflict, 409],
  [Gone, 410],
  [PreconditionFailed, 412],
  [TooLarge, 413],
  [UnsupportedMediaType, 415],
  [Invalid, 422],
  [TooMany, 429],
  [Unavailable, 503],
  [Shed, 503],
]);

/** What the framework itself refuses, in our words. Its other client errors are told by their status alone. */
const FRAMEWORK_ERRORS: Record<string, string> = {
  FST_ERR_BAD_URL: 'The path is not valid percent-encoded UTF-8.',
  FST_ERR_CTP_BODY_TOO_LARGE: 'The body is larger than this route takes.',
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: 'The body is not as long as Content-Length says.',
  FST_ERR_CTP_INVALID_MEDIA_TYPE: 'This route does not read a body of this Content-Type.',
  FST_ERR_MAX_PARAM_LENGTH: 'A part of the path is too long.',
};

/** RFC 9457 §3.1. `about:blank` says no more than the status does. */
export function problem(status: number, detail: string, instance: string, code?: string): ProblemBody {
  return {
    type: code === undefined ? 'about:blank' : `urn:problem-type:muster:${code}`,
    title: STATUS_CODES[status] ?? 'Error',
    status,
    detail,
    instance,
  };
}

/** What a feature refused, as a problem. `instance` is the id of the request. */
export function problemOf(refusal: Refusal, instance: string): ProblemBody {
  const status = STATUS_OF.get(refusal.constructor) ?? 500;
  const body = problem(status, refusal.message, instance, refusal.code);
  return refusal.faults.length > 0 ? { ...body, errors: refusal.faults } : body;
}

/** Values of a body that break rules. */
export function brokenBody(faults: readonly Fault[]): Invalid {
  return new Invalid('invalid-body', 'The body breaks the rules listed in errors.', faults);
}

/** Parameters or headers that break rules. */
export function brokenRequest(faults: readonly Fault[]): Malformed {
  return new Malformed('invalid-parameter', 'The request breaks the rules listed in errors.', faults);
}

export function sendProblem(reply: FastifyReply, body: ProblemBody): FastifyReply {
  if (body.status === 503 || body.status === 429) reply.header('retry-after', '1');
  // Sent as text: the schema of the route's answers is not asked, and cannot fail.
  return reply.code(body.status).type('application/problem+json').send(JSON.stringify(body));
}

/** For what answers without Fastify, as there is no request yet that has an id. */
export function bareProblem(status: number, detail: string, code?: string) {
  const problemBody = problem(status, detail, 'about:blank', code);
  const body = JSON.stringify(problemBody);
  const headers = {
    ...SECURITY_HEADERS,
    'content-type': 'application/problem+json',
    'content-length': String(Buffer.byteLength(body)),
  };
  return { title: problemBody.title, headers, body };
}

/** Turns whatever was thrown into a problem. An unknown error says nothing about the inside; the log has it. */
function toProblem(error: unknown, request: FastifyRequest): ProblemBody {
  if (error instanceof Refusal) return problemOf(error, request.id);
  const { validation, validationContext, code, statusCode } = error as FastifyError;
  if (validation !== undefined) {
    const faults = faultsOf(validation as never, validationContext as never);
    return problemOf(validationContext === 'body' ? brokenBody(faults) : brokenRequest(faults), request.id);
  }
  if (statusCode !== undefined && statusCode >= 400 && statusCode < 500) {
    return problem(statusCode, FRAMEWORK_ERRORS[code] ?? 'The request cannot be answered.', request.id);
  }
  const failure = databaseFailure(error);
  if (failure === 'away') {
    return problem(503, 'The database does not answer at the moment.', request.id, 'database-away');
  }
  if (failure !== undefined) {
    return problem(
      503,
      'Others hold what this request needs. Nothing was changed.',
      request.id,
      'database-busy',
    );
  }
  return problem(500, 'Something went wrong here. The log has it under the id in instance.', request.id);
}

/** For Fastify's `frameworkErrors`: what the router refuses before there is a route, so before the error handler. */
export function answerFrameworkError(
  error: FastifyError,
  request: FastifyRequest,
  reply: FastifyReply,
): void {
  sendProblem(reply.headers(SECURITY_HEADERS), toProblem(error, request)); // it comes before all hooks
}

/** Every error of a route passes through here. */
export default plugin(
  async (app: FastifyInstance) => {
    for (const schema of [FaultView, Problem]) app.addSchema(schema);
    app.setErrorHandler((error, request, reply) => {
      const body = toProblem(error, request);
      if (body.status >= 500 && !(error instanceof Shed)) request.log.error({ err: error }, body.detail);
      if ((error instanceof Unauthorized || error instanceof Forbidden) && error.challenge !== undefined) {
        reply.header('www-authenticate', error.challenge);
      }
      if (body.status === 415)
        reply.header(request.method === 'PATCH' ? 'accept-patch' : 'accept', acceptedBy(request));
      return sendProblem(reply, body);
    });
  },
  { name: 'problem' },
);

/** Said by the schema of a route that reads anything else. */
function acceptedBy({ routeOptions }: FastifyRequest): string {
  const { consumes = ['application/json'] } = routeOptions.schema ?? {};
  return consumes.join(', ');
}
