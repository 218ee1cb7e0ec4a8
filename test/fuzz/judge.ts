import { createDocumentCheck, type Schemas, schemasOf } from '../support/documented.ts';
import { type Document, type Operation, operationsOf } from './document.ts';
import type { Sent } from './memory.ts';
import { readStrictly } from './strict-json.ts';

/**
 * What a request is, by the document and the RFCs alone. `no`: it must be refused. `unclear`: a rule that the document
 * does not tell decides, or a parser; then any documented answer is right, and yet what is kept must be what was sent.
 */
export interface Verdict {
  operation: Operation | undefined;
  valid: 'yes' | 'no' | 'unclear';
  /** The first reason why it is not `yes`. */
  reason: string;
  path: Record<string, unknown>;
  query: Record<string, unknown>;
  /** By lower-case name, of those the document knows. */
  headers: Record<string, string>;
  /** The key it was sent with. Each client has `Idempotency-Key`s of its own. */
  client: string;
  /** The body as read; undefined when there is none, or none that can be read. */
  body: unknown;
}

/** What is read of the document, once for all worlds: to compile its schemas takes long. */
export interface Rules {
  /** @throws {Error} for an answer that is not documented */
  check: ReturnType<typeof createDocumentCheck>;
  judge: Judge;
}

export function rulesOf(document: Document): Rules {
  const schemas = schemasOf(document as never);
  return { check: createDocumentCheck(document as never, schemas), judge: new Judge(document, schemas) };
}

const BODY_LIMIT = 262_144; // of all routes but some; not in the document
const HEADER_LIMIT = 16_384;
export class Judge {
  readonly #operations: Operation[];
  readonly #fits: Schemas['check'];

  constructor(document: Document, schemas: Schemas) {
    this.#operations = operationsOf(document);
    this.#fits = schemas.check;
  }

  judge(sent: Sent, bearerOf: BearerOf): Verdict {
    const verdict: Verdict = {
      operation: undefined,
      valid: 'yes',
      reason: '',
      path: {},
      query: {},
      headers: {},
      client: '',
      body: undefined,
    };
    const say = (valid: 'no' | 'unclear', reason: string) => {
      if (verdict.valid === 'no') return;
      if (verdict.valid === 'yes' || valid === 'no') Object.assign(verdict, { valid, reason });
    };
    const [rawPath = '', rawQuery = ''] = split(sent.target);
    if (!/^[\x21-\x7e]*$/.test(sent.target)) say('unclear', 'bytes that are no URL');
    if (sent.target.includes('#')) say('unclear', 'a fragment');
    if (decode(sent.target) === undefined) say('no', 'percent-encoding');
    const size =
      sent.target.length +
      sent.headers.reduce((sum, [name, value]) => sum + name.length + value.length + 4, 0);
    if (size > HEADER_LIMIT - 200) say('unclear', 'a large head');
    this.#route(verdict, sent.method, rawPath, say);
    const { operation } = verdict;
    if (operation === undefined) {
      // OPTIONS and the pages are not in the document.
      const isHidden = sent.method === 'OPTIONS' || /^\/(?:openapi\.json|docs)/.test(decode(rawPath) ?? '');
      say(isHidden ? 'unclear' : 'no', 'no such operation');
      return verdict;
    }
    this.#query(verdict, operation, rawQuery, say);
    this.#headers(verdict, operation, sent, say);
    this.#bearer(verdict, operation, sent, bearerOf, say);
    this.#body(verdict, operation, sent, say);
    return verdict;
  }

  #route(verdict: Verdict, method: string, rawPath: string, say: Say): void {
    const verb = method === 'HEAD' ? 'GET' : method;
    const parts = rawPath.split('/').map((part) => decode(part) ?? part);
    const fit = ({ path }: Operation) => {
      const names = path.split('/');
      return (
        names.length === parts.length && names.every((name, at) => name.startsWith('{') || name === parts[at])
      );
    };
    const found = this.#operations.filter(fit).sort((a, b) => a.path.indexOf('{') - b.path.indexOf('{'));
    // A path that is written out goes before one with a parameter.
    const best = found.find(({ path }) => !path.includes('{')) ?? found[0];
    const operation = found.find((one) => one.method === verb && one.path === best?.path);
    verdict.operation = operation;
    operation?.path.split('/').forEach((part, at) => {
      if (!part.startsWith('{')) return;
      const name = part.slice(1, -1);
      const text = parts[at] ?? '';
      if (text.length > 100) say('no', `${name} is too long`);
      this.#parameter(operation, 'path', name, text, verdict.path, say);
    });
  }

  #query(verdict: Verdict, operation: Operation, rawQuery: string, say: Say): void {
    const known = operation.parameters.filter((one) => one.in === 'query');
    const seen = new Set<string>();
    for (const [name, value] of new URLSearchParams(`?${rawQuery}`)) {
      if (name === '') say('unclear', 'a parameter without a name');
      else if (!known.some((one) => one.name === name)) say('no', `${name} is not known`);
      else if (seen.has(name)) say('no', `${name} is given twice`);
      else this.#parameter(operation, 'query', name, value, verdict.query, say);
      seen.add(name);
    }
    for (const { name, required } of known) if (required && !seen.has(name)) say('no', `${name} is missing`);
  }

  #headers(verdict: Verdict, operation: Operation, { headers }: Sent, say: Say): void {
    for (const { name } of operation.parameters.filter((one) => one.in === 'header')) {
      const lower = name.toLowerCase();
      const given = headers
        .filter(([one]) => one === lower)
        .map(([, one]) => one.replace(/^[ \t]+|[ \t]+$/g, ''));
      const value = given.length === 0 ? undefined : given.join(', '); // RFC 9110 §5.2
      if (value === undefined) continue;
      verdict.headers[lower] = value;
      this.#parameter(operation, 'header', name, value, {}, say);
    }
    const encoding = headers
      .find(([name]) => name === 'content-encoding')?.[1]
      .trim()
      .toLowerCase();
    if (encoding !== undefined && encoding !== 'identity') say('no', 'an encoded body');
  }

  #parameter(
    operation: Operation,
    place: string,
    name: string,
    text: string,
    values: Record<string, unknown>,
    say: Say,
  ): void {
    const index = operation.parameters.findIndex((one) => one.in === place && one.name === name);
    const type = operation.parameters[index]?.schema.type;
    let value: unknown = text;
    // A number is one only where it is written as such.
    if ((type === 'integer' || type === 'number') && /^-?(?:0|[1-9]\d{0,15})$/.test(text))
      value = Number(text);
    if (type === 'boolean' && (text === 'true' || text === 'false')) value = text === 'true';
    values[name] = value;
    const pointer = [
      'paths',
      operation.path,
      operation.method.toLowerCase(),
      'parameters',
      String(index),
      'schema',
    ];
    this.#check(pointer, value, `${place} ${name}`, say);
  }

  #bearer(verdict: Verdict, operation: Operation, { headers }: Sent, bearerOf: BearerOf, say: Say): void {
    if (!operation.isGuarded) return;
    const [first, ...more] = headers.filter(([name]) => name === 'authorization');
    if (more.length > 0) say('unclear', 'two keys');
    const bearer = first === undefined ? 'none' : bearerOf(first[1]);
    verdict.client = (first?.[1] ?? '').trim().replace(/^bearer +/i, '');
    if (bearer === 'none') say('no', 'no key');
    if (bearer === 'given') say('unclear', 'a key that may be too narrow, or revoked');
  }

  #body(verdict: Verdict, operation: Operation, { headers, body, method }: Sent, say: Say): void {
    if (method === 'GET' || method === 'HEAD') return; // whatever it sends is not read
    const types = headers.filter(([name]) => name === 'content-type').map(([, value]) => value.trim());
    if (operation.bodies.length === 0) {
      if (body !== undefined || types.length > 0) say('unclear', 'a body that nobody asked for');
      return;
    }
    if (body === undefined) {
      // A file may be empty: who is nobody's directory exports one.
      const isFile = operation.bodies.some(({ mediaType }) => mediaType.endsWith('ndjson'));
      say(isFile ? 'unclear' : 'no', 'no body');
      return;
    }
    if (types.length > 1) say('unclear', 'two types');
    const essence = types[0]?.split(';')[0]?.trim().toLowerCase() ?? '';
    const own = operation.bodies.find(({ mediaType }) => mediaType === essence);
    if (own === undefined && /^[\w.+-]+\/[\w.+-]+$/.test(essence)) say('no', `the type ${essence}`);
    else if (own === undefined || !/^[\w.+/-]+(?:; ?charset="?utf-8"?)?$/i.test(types[0] ?? '')) {
      say('unclear', 'an odd type');
    }
    if (body.length > BODY_LIMIT) say('unclear', 'a large body');
    const { mediaType, pointer } = own ?? operation.bodies[0] ?? { mediaType: '', pointer: [] };
    if (!/[/+]json$/.test(mediaType)) {
      say('unclear', 'no JSON');
      return;
    }
    try {
      verdict.body = readStrictly(body);
    } catch (error) {
      say('no', `the body: ${error}`);
      return;
    }
    this.#check(pointer, verdict.body, 'the body', say);
  }

  /** Whether `POST /users` would take it. */
  isUser(value: unknown): boolean {
    const pointer = this.#operations.find(({ id }) => id === 'createUser')?.bodies[0]?.pointer ?? [];
    try {
      this.#fits(pointer, readStrictly(Buffer.from(JSON.stringify(value))), 'the row');
      return true;
    } catch {
      return false;
    }
  }

  #check(pointer: string[], value: unknown, what: string, say: Say): void {
    try {
      this.#fits(pointer, value, what);
    } catch (error) {
      say('no', String(error));
    }
  }
}

/** Of an `Authorization`: the run's own key, one that an answer gave, or none. */
type BearerOf = (value: string) => 'own' | 'given' | 'none';
type Say = (valid: 'no' | 'unclear', reason: string) => void;

function split(target: string): [string, string] {
  const own = target.replace(/^https?:\/\/[^/?#]+/i, '');
  const [path = ''] = own.split(/[?#]/, 1);
  return [path, own[path.length] === '?' ? (own.slice(path.length + 1).split('#', 1)[0] ?? '') : ''];
}

function decode(text: string): string | undefined {
  try {
    const decoded = decodeURIComponent(text);
    return decoded.includes('\0') && text.includes('%') ? undefined : decoded;
  } catch {
    return undefined;
  }
}
