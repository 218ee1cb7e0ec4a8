import { Malformed, Refusal, TooMany, UnsupportedMediaType } from '../errors.ts';
import { noKey, tooNarrow } from './access.ts';
import { noTags } from './conditional.ts';
import { PATCH_TYPES } from './edge.ts';
import { brokenBody, brokenRequest, Problem, type ProblemBody, problem, problemOf } from './problem.ts';
import { ref } from './schemas.ts';

/** The error answers of routes, for their schemas and so for the API document. */

/** An exact refusal, or its whole body, from the function that makes it when it happens: so their words cannot differ. */
type Exact = Refusal | ProblemBody;

/** What a route may answer: a status in general, an exact refusal, or the headers that a status has on this route. */
type Case = number | Exact | { status: number; headers: object };

/**
 * What every route may answer, whatever it does: broken URLs and hosts, no or too narrow a key, conditions, compressed
 * bodies, limits, faults, shutdown.
 */
const EVERYWHERE = [400, 401, 403, 412, 415, 429, 500, 503];

export function problems(...cases: Case[]) {
  const headers: Record<number, object> = { ...HEADERS };
  const exact: Record<number, ProblemBody[]> = Object.fromEntries(EVERYWHERE.map((status) => [status, []]));
  for (const one of cases) {
    if (typeof one === 'number') exact[one] ??= [];
    else if ('headers' in one) headers[one.status] = one.headers;
    else {
      const body = bodyOf(one);
      exact[body.status] = [...(exact[body.status] ?? []), body];
    }
  }
  const answers = Object.entries(exact).map(([key, bodies]) => {
    const status = Number(key);
    const general = GENERAL[status];
    if (bodies.length === 0 && general !== undefined) bodies.push(bodyOf(general));
    const answer = {
      description: DESCRIPTIONS[status] ?? 'Refused',
      ...(status in headers && { headers: headers[status] }),
      content: {
        'application/problem+json': { schema: ref(Problem), examples: Object.fromEntries(bodies.map(named)) },
      },
    };
    return [status, answer];
  });
  return Object.fromEntries(answers) as Record<number, { description: string }>;
}

function bodyOf(one: Exact): ProblemBody {
  return one instanceof Refusal ? problemOf(one, EXAMPLE_ID) : one;
}

/** By the exact case, which is the last part of a problem's `type`. */
function named(value: ProblemBody) {
  const name = value.type === 'about:blank' ? 'general' : value.type.split(':').at(-1);
  return [name, { summary: summaryOf(value), value }];
}

function summaryOf({ detail, errors: [first] = [] }: ProblemBody): string {
  return first === undefined ? detail : `${first.in} ${first.pointer} ${first.detail}`;
}

/** A body whose values break a rule, as the validator finds it. */
export function invalidBody(pointer: string, detail: string) {
  return brokenBody([{ in: 'body', pointer, detail }]);
}

/** A parameter or header that cannot be read, as the validator finds it. */
export function invalidParameter(place: 'path' | 'query' | 'headers', pointer: string, detail: string) {
  return brokenRequest([{ in: place, pointer, detail }]);
}

/** What a route that names one thing by its number refuses, besides what its own work does. */
export function refusedId(notFound: Exact) {
  return [invalidParameter('path', '#/id', 'must be integer'), notFound, 414] as const;
}

/** What a PATCH refuses of any body. */
export function refusedPatch() {
  const acceptPatch = {
    type: 'string',
    required: true,
    description: 'the patch formats that this route reads (RFC 5789 §3.1)',
    examples: [PATCH_TYPES.join(', ')],
  };
  return [invalidJson(), { status: 415, headers: { 'Accept-Patch': acceptPatch } }, 413] as const;
}

/** A body that is not JSON, or holds what would not survive being read. */
export function invalidJson(): Malformed {
  return new Malformed('invalid-json', 'The body is not JSON at line 1, column 17: "email" is not JSON.');
}

const DESCRIPTIONS: Record<number, string> = {
  400: 'Malformed: broken JSON, an unknown or ill-formed parameter, header or cursor',
  401: 'No key or token, or none that is known here',
  403: 'The key or token may not do this, or the request comes from elsewhere',
  404: 'Nothing is there',
  409: 'The present state does not allow it',
  410: 'It was there, and is not kept any more',
  412: 'A precondition does not hold',
  413: 'The body is too large',
  414: 'A part of the path is too long',
  415: 'The body is in a form that this route does not read',
  422: 'Well-formed, but a value breaks a rule',
  429: 'More, or more often, than one client may; try again later',
  500: 'A fault of the service',
  503: 'The service cannot answer now; try again later',
};

/** The id of a request that never was. */
export const EXAMPLE_ID = '0f8fad5b-d9cb-469f-a165-70867728950e';

/** What a status says where a route names no exact case. */
const GENERAL: Record<number, Exact> = {
  400: new Malformed('invalid-url', 'The URL is not percent-encoded UTF-8, or holds NUL.'),
  401: noKey(),
  403: tooNarrow('users:write'),
  412: noTags(['"1"']),
  413: problem(413, 'The body is larger than this route takes.', EXAMPLE_ID),
  414: problem(414, 'A part of the path is too long.', EXAMPLE_ID),
  415: new UnsupportedMediaType('content-encoding', 'A body with Content-Encoding gzip is not read here.'),
  429: new TooMany('rate-limit', 'One client may make 100 requests a second.'),
  500: problem(500, 'Something went wrong here. The log has it under the id in instance.', EXAMPLE_ID),
  503: problem(503, 'The database does not answer at the moment.', EXAMPLE_ID, 'database-away'),
};

const RETRY_AFTER = {
  'Retry-After': {
    type: 'integer',
    minimum: 1,
    required: true,
    description: 'seconds after which to try again (RFC 9110 §10.2.3)',
    examples: [1],
  },
};

const RATE_LIMIT = {
  'RateLimit-Policy': {
    type: 'string',
    description: 'of a limit by time: so many requests (`q`) in so many seconds (`w`); every answer tells it',
    examples: ['"client";q=100;w=1'],
  },
  RateLimit: {
    type: 'string',
    description: 'how many of them are left (`r`), and seconds until all are (`t`)',
    examples: ['"client";r=0;t=1'],
  },
};

/** What a status tells in headers, on every route. */
const HEADERS: Record<number, object> = {
  401: {
    'WWW-Authenticate': {
      type: 'string',
      required: true,
      description:
        'that a bearer token is asked for, and what is wrong with one that was given (RFC 6750 §3)',
      examples: ['Bearer error="invalid_token"'],
    },
  },
  403: {
    'WWW-Authenticate': {
      type: 'string',
      description: 'which scope is missing (RFC 6750 §3.1); absent when a request from elsewhere is refused',
      examples: ['Bearer error="insufficient_scope", scope="users:write"'],
    },
  },
  415: {
    Accept: {
      type: 'string',
      required: true,
      description: 'the media types that this route reads (RFC 9110 §15.5.16)',
      examples: ['application/json'],
    },
  },
  429: { ...RETRY_AFTER, ...RATE_LIMIT },
  503: RETRY_AFTER,
};
