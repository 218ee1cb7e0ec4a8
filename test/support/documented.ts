import { Ajv2020, type ErrorObject, type ValidateFunction } from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import type { OpenAPIV3_1 } from 'openapi-types';
import { jsonBytes } from '../../src/http/validation.ts';
import { isEmail } from '../../src/users/keys.ts';

/** A response as it went over the wire, with what was asked. */
export interface Exchange {
  method: string;
  /** Path and query, as requested. */
  url: string;
  statusCode: number;
  headers: Readonly<Record<string, string | string[] | number | undefined>>;
  /** The body as text. */
  body: string;
}

/** The headers that are part of the API: one of them that is sent must be documented for that very answer. */
const API_HEADERS = [
  'accept',
  'accept-patch',
  'allow',
  'etag',
  'idempotent-replayed',
  'link',
  'location',
  'muster-epoch',
  'muster-position',
  'preference-applied',
  'retry-after',
  'www-authenticate',
];

/** Said of a request that arrives too slowly, expects too much or is too large, before any route is asked. */
const BEFORE_ROUTES = [408, 417, 431];

/** What the service also serves, and the document does not list. */
const HIDDEN = /^\/(?:openapi\.json$|docs(?:\/|$))/;

/**
 * Holds the service to its document: the function that it gives throws when a response is not as `document` (of
 * `GET /openapi.json`) says. What is refused without a route of the document, a wrong method or an unknown path, must be
 * a `Problem`.
 */
export function createDocumentCheck(
  document: OpenAPIV3_1.Document,
  schemas = schemasOf(document),
): (exchange: Exchange) => void {
  return (exchange) => {
    try {
      checkExchange(document, schemas, exchange);
    } catch (error) {
      const { method, url, statusCode } = exchange;
      const reason = error instanceof Error ? error.message : String(error);
      throw new Error(`${method} ${url} was answered ${statusCode} against the API document: ${reason}`);
    }
  };
}

function checkExchange(document: OpenAPIV3_1.Document, schemas: Schemas, exchange: Exchange): void {
  const path = pathOf(exchange.url);
  const method = exchange.method.toLowerCase();
  const template = findTemplate(document, path);
  // HEAD is a GET without its body (RFC 9110 §9.3.2); the document lists only the GET.
  const verb = method === 'head' ? 'get' : method;
  const operation = template === undefined ? undefined : operationOf(document, template, verb);
  if (template === undefined || operation === undefined || BEFORE_ROUTES.includes(exchange.statusCode)) {
    checkUnlisted(schemas, exchange, path);
    return;
  }

  const status = String(exchange.statusCode);
  const answer = operation.responses?.[status];
  if (answer === undefined) {
    throw new Error(`the status is not one of ${Object.keys(operation.responses ?? {}).join(', ')}`);
  }
  if ('$ref' in answer) throw new Error('answers that are references are not followed here');
  const pointer = ['paths', template, verb, 'responses', status];
  checkHeaders(schemas, exchange, answer, pointer);
  checkContent(schemas, exchange, answer, pointer);
}

/** OPTIONS, a wrong method, an unknown path, the pages: successes are free, refusals are problems. */
function checkUnlisted(schemas: Schemas, exchange: Exchange, path: string): void {
  const { statusCode, body } = exchange;
  const method = exchange.method.toUpperCase();
  if (statusCode < 400) {
    if (method === 'OPTIONS' || HIDDEN.test(path)) return;
    throw new Error('the document lists no such path and method');
  }
  if (mediaTypeOf(exchange) !== 'application/problem+json') {
    throw new Error(`a refusal is application/problem+json, not ${mediaTypeOf(exchange)}`);
  }
  if (method !== 'HEAD') schemas.check(['components', 'schemas', 'Problem'], parseBody(body), 'the body');
}

function checkHeaders(
  schemas: Schemas,
  exchange: Exchange,
  answer: OpenAPIV3_1.ResponseObject,
  pointer: string[],
): void {
  const sent = new Map(Object.entries(exchange.headers).map(([name, value]) => [name.toLowerCase(), value]));
  const listed = Object.entries(answer.headers ?? {});
  for (const [name, header] of listed) {
    const value = sent.get(name.toLowerCase());
    if (value === undefined) {
      if ('required' in header && header.required === true) throw new Error(`the header ${name} is missing`);
      continue;
    }
    const isNumber = 'schema' in header && header.schema !== undefined && isNumeric(header.schema);
    const text = String(value);
    const read = isNumber && /^-?\d+(?:\.\d+)?$/.test(text) ? Number(text) : text;
    schemas.check([...pointer, 'headers', name, 'schema'], read, `the header ${name}`);
  }
  const names = new Set(listed.map(([name]) => name.toLowerCase()));
  for (const name of API_HEADERS) {
    if (sent.get(name) !== undefined && !names.has(name)) {
      throw new Error(`the header ${name} is not listed for this answer`);
    }
  }
}

function checkContent(
  schemas: Schemas,
  exchange: Exchange,
  answer: OpenAPIV3_1.ResponseObject,
  pointer: string[],
): void {
  const mediaType = mediaTypeOf(exchange);
  const content = answer.content;
  if (content === undefined) {
    if (exchange.body !== '') throw new Error('this answer has no body');
    if (mediaType !== undefined) throw new Error(`this answer has no body, yet says it is ${mediaType}`);
    return;
  }
  if (mediaType === undefined || content[mediaType] === undefined) {
    throw new Error(`the media type is ${mediaType}, not ${Object.keys(content).join(' or ')}`);
  }
  if (exchange.method.toUpperCase() === 'HEAD') {
    if (exchange.body !== '') throw new Error('an answer to HEAD has no body');
    return;
  }
  const schema = [...pointer, 'content', mediaType, 'schema'];
  if (mediaType === 'text/event-stream') {
    schemas.check(schema, exchange.body, 'the stream');
    checkEvents(schemas, exchange.body);
    return;
  }
  // A file is no JSON, and its schema only says what it is.
  const isJson = /json$/.test(mediaType) && !mediaType.endsWith('ndjson');
  schemas.check(schema, isJson ? parseBody(exchange.body) : exchange.body, 'the body');
}

/** What the events of a stream carry, by their names. */
const EVENT_SCHEMAS: Record<string, string> = { state: 'Task', progress: 'TaskProgress' };

/** The frames of a stream (HTML §9.2): comments, and events whose data is JSON of the schema that belongs to their name. */
function checkEvents(schemas: Schemas, stream: string): void {
  for (const frame of stream.split('\n\n').filter((one) => one !== '' && !one.startsWith(':'))) {
    const [, event = '', data] = /^(?:id: .+\n)?event: (\w+)\ndata: (.+)$/.exec(frame) ?? [];
    const name = EVENT_SCHEMAS[event];
    if (name === undefined || data === undefined) throw new Error(`no event of the document: ${frame}`);
    schemas.check(['components', 'schemas', name], parseBody(data), `the data of ${event}`);
  }
}

export interface Schemas {
  /** @throws {Error} when `value` does not fit the schema at that place of the document */
  check(pointer: readonly string[], value: unknown, what: string): void;
}

export function schemasOf(document: OpenAPIV3_1.Document): Schemas {
  const ajv = new Ajv2020({ strict: false, allErrors: true, validateFormats: true });
  addFormats.default(ajv);
  ajv.addFormat('idn-email', isEmail); // ajv-formats has none; the service's own is what the document means
  ajv.addKeyword({
    keyword: 'x-maxBytes',
    validate: (limit: number, value: unknown) => jsonBytes(value) <= limit,
  });
  ajv.addSchema(document, 'document');
  const compiled = new Map<string, ValidateFunction>();
  return {
    check(pointer, value, what) {
      const at = `document#/${pointer.map(escapePointer).join('/')}`;
      const validate = compiled.get(at) ?? ajv.compile({ $ref: at });
      compiled.set(at, validate);
      if (!validate(value)) throw new Error(`${what} ${inWords(validate.errors ?? [])}`);
    },
  };
}

function inWords(errors: readonly ErrorObject[]): string {
  const listed = errors.map(({ instancePath, message, params }) => {
    const name = params.additionalProperty ?? params.missingProperty;
    return `${instancePath} ${message}${name === undefined ? '' : ` (${name})`}`.trim();
  });
  return `does not fit: ${listed.join('; ')}`;
}

/** RFC 6901 §3 and §6. */
function escapePointer(part: string): string {
  return encodeURIComponent(part.replaceAll('~', '~0').replaceAll('/', '~1'));
}

/** The path as the router reads it: absolute URLs are allowed (RFC 9112 §3.2.2), escapes are undone. */
function pathOf(url: string): string {
  const [path = ''] = url.replace(/^https?:\/\/[^/]+/i, '').split(/[?#]/);
  try {
    return decodeURI(path);
  } catch {
    return path;
  }
}

function findTemplate(document: OpenAPIV3_1.Document, path: string): string | undefined {
  const templates = Object.keys(document.paths ?? {});
  if (templates.includes(path)) return path; // before /users/{id} would take /users/import
  return templates.find((template) => {
    const parts = template.split(/\{[^}]+\}/).map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'));
    return new RegExp(`^${parts.join('[^/]+')}$`).test(path);
  });
}

function operationOf(document: OpenAPIV3_1.Document, template: string, verb: string) {
  const item = document.paths?.[template];
  const found = Object.entries(item ?? {}).find(([name]) => name === verb)?.[1];
  return typeof found === 'object' && 'responses' in found ? found : undefined;
}

function mediaTypeOf({ headers }: Exchange): string | undefined {
  const entry = Object.entries(headers).find(([name]) => name.toLowerCase() === 'content-type');
  return entry?.[1] === undefined ? undefined : String(entry[1]).split(';')[0]?.trim().toLowerCase();
}

function isNumeric(schema: object): boolean {
  return 'type' in schema && (schema.type === 'integer' || schema.type === 'number');
}

function parseBody(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    throw new Error(`the body is not JSON: ${JSON.stringify(body.slice(0, 80))}`);
  }
}
