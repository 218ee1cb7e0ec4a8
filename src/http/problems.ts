import { Invalid, Malformed, Refusal, TooMany, UnsupportedMediaType } from '../errors.ts';
import { noKey, tooNarrow } from './access.ts';
import { Problem, type ProblemBody, problem, problemOf } from './problem.ts';
import { ref } from './schemas.ts';

/** The error answers of routes, for their schemas and so for the API document. */

/**
 * A status in general; an exact refusal, or its whole body, from the function that makes it when it happens, so that
 * their words cannot differ; or the headers that a status has on this route.
 */
type Case = number | Refusal | ProblemBody | { status: number; headers: object };

/**
 * What every route may answer, whatever it does: broken URLs and hosts, no or too narrow a key, compressed bodies, limits,
 * faults, shutdown.
 */
const EVERYWHERE = [400, 401, 403, 415, 429, 500, 503];

export function problems(...cases: Case[]) {
  const examples = new Map<number, ProblemBody[]>(EVERYWHERE.map((status) => [status, []]));
  const headers = new Map<number, object>(HEADERS);
  for (const one of cases) {
    if (typeof one === 'number') {
      examples.set(one, examples.get(one) ?? []);
    } else if ('headers' in one) {
      headers.set(one.status, one.headers);
    } else {
      const body = one instanceof Refusal ? problemOf(one, EXAMPLE_ID) : one;
      examples.set(body.status, [...(examples.get(body.status) ?? []), body]);
    }
  }
  const answers = [...examples].map(([status, exact]) => [
    status,
    {
      description: DESCRIPTIONS[status] ?? 'Refused',
      ...(headers.has(status) && { headers: headers.get(status) }),
      content: {
        'application/problem+json': {
          schema: ref(Problem),
          examples: namedExamples(exact.length > 0 ? exact : [GENERAL[status]]),
        },
      },
    },
  ]);
  return Object.fromEntries(answers) as Record<number, { description: string }>;
}

/** By the exact case, which is the last part of a problem's `type`. */
function namedExamples(bodies: readonly (ProblemBody | undefined)[]) {
  return Object.fromEntries(
    bodies
      .filter((body) => body !== undefined)
      .map((value) => [
        value.type === 'about:blank' ? 'general' : value.type.split(':').at(-1),
        { summary: summaryOf(value), value },
      ]),
  );
}

function summaryOf({ detail, errors: [first] = [] }: ProblemBody): string {
  return first === undefined ? detail : `${first.in} ${first.pointer} ${first.detail}`;
}

/** What a PATCH says of the bodies that it reads. */
export function acceptPatch(accepts: string): Case {
  return {
    status: 415,
    headers: {
      'Accept-Patch': {
        type: 'string',
        required: true,
        description: 'the patch formats that this route reads (RFC 5789 §3.1)',
        examples: [accepts],
      },
    },
  };
}

/** A body whose values break a rule, as the validator finds it. */
export function invalidBody(pointer: string, detail: string): Invalid {
  return new Invalid('invalid-body', 'The body breaks the rules listed in errors.', [
    { in: 'body', pointer, detail },
  ]);
}

/** A parameter or header that cannot be read, as the validator finds it. */
export function invalidParameter(place: 'path' | 'query' | 'headers', pointer: string, detail: string) {
  return new Malformed('invalid-parameter', 'The request breaks the rules listed in errors.', [
    { in: place, pointer, detail },
  ]);
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
const GENERAL: Record<number, ProblemBody> = {
  400: problemOf(
    new Malformed('invalid-url', 'The URL is not percent-encoded UTF-8, or holds NUL.'),
    EXAMPLE_ID,
  ),
  401: problemOf(noKey(), EXAMPLE_ID),
  403: problemOf(tooNarrow('users:write'), EXAMPLE_ID),
  404: problem(404, 'There is nothing here.', EXAMPLE_ID),
  413: problem(413, 'The body is larger than this route takes.', EXAMPLE_ID),
  414: problem(414, 'A part of the path is too long.', EXAMPLE_ID),
  415: problemOf(
    new UnsupportedMediaType('content-encoding', 'A body with Content-Encoding gzip is not read here.'),
    EXAMPLE_ID,
  ),
  429: problemOf(new TooMany('rate-limit', 'One client may make 100 requests a second.'), EXAMPLE_ID),
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

const HEADERS: [number, object][] = [
  [
    401,
    {
      'WWW-Authenticate': {
        type: 'string',
        required: true,
        description:
          'that a bearer token is asked for, and what is wrong with one that was given (RFC 6750 §3)',
        examples: ['Bearer error="invalid_token"'],
      },
    },
  ],
  [
    403,
    {
      'WWW-Authenticate': {
        type: 'string',
        description:
          'which scope is missing (RFC 6750 §3.1); absent when a request from elsewhere is refused',
        examples: ['Bearer error="insufficient_scope", scope="users:write"'],
      },
    },
  ],
  [
    415,
    {
      Accept: {
        type: 'string',
        required: true,
        description: 'the media types that this route reads (RFC 9110 §15.5.16)',
        examples: ['application/json'],
      },
    },
  ],
  [429, { ...RETRY_AFTER, ...RATE_LIMIT }],
  [503, RETRY_AFTER],
];
