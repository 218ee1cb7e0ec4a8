import fc, { type Arbitrary } from 'fast-check';
import { type Document, type Operation, operationsOf, type Parameter, type Schema } from './document.ts';
import { type Edit, edits } from './edits.ts';
import { CONTENT_TYPES, HEADER_VALUES, HEADERS, METHODS, PATH_PARTS, PATHS } from './nasty-http.ts';
import { anyJson, Values } from './values.ts';

/** A text, or something that an earlier answer of the chain has given: the `pick`-th of that kind, else the text. */
export interface Source {
  text: string;
  pick?: number;
}

/** One request of a chain, before what it takes from earlier answers is known. Plain data: it can be printed. */
export interface Step {
  operation: Operation;
  /** Over a socket, byte by byte; else through `inject`, which is quicker and would mend some of what is broken. */
  wire: boolean;
  chunked: boolean;
  /** The request before once more, as it was: who has got no answer sends it again. */
  isAgain: boolean;
  method?: string;
  /** In place of all of the path and query. */
  target?: string;
  path: Record<string, Source>;
  query: [name: string, value: Source][];
  spelling: Spelling;
  headers: [name: string, value: Source][];
  body?: Body;
}

export interface Body {
  mediaType: string;
  value: unknown;
  /** A list of users, to be sent as a file of the type, unless it is edited. */
  isFile?: true;
  /** A member that is also known from an earlier answer is that one. */
  reuse?: { at: number; pick: number; how: 'same' | 'upper' | 'decomposed' };
  edits: Edit[];
}

export const SPELLINGS = ['plain', 'plain', 'plain', 'all', 'plus'] as const;
export type Spelling = (typeof SPELLINGS)[number];

export interface Chain {
  steps: Step[];
  /** All together, as from many clients: they share transactions, and one that fails must not take others with it. */
  atOnce: boolean;
}

/** Chains of requests that the document allows, nearly allows, or does not. */
export function chainsOf(document: Document): Arbitrary<Chain> {
  const values = new Values(document);
  const operations = operationsOf(document);
  const weighted = operations.map((operation) => ({
    arbitrary: stepOf(values, operation),
    weight: weightOf(operation),
  }));
  const chain = (steps: typeof weighted, atOnce: Arbitrary<boolean>) =>
    fc.record({
      steps: fc.array(fc.oneof(...steps), { minLength: 1, maxLength: 24, size: 'max' }),
      atOnce,
    });
  const ofUsers = weighted.filter((_, at) => /^\/(users|add-user)/.test(operations[at]?.path ?? ''));
  return fc.oneof(
    {
      arbitrary: chain(
        weighted,
        fc.nat(4).map((one) => one === 0),
      ),
      weight: 4,
    },
    { arbitrary: chain(ofUsers, fc.boolean()), weight: 1 }, // of whom the same ones are met again
  );
}

/** What writes what it is sent, and what names one thing, more often than what only sets a task going. */
function weightOf({ bodies, method, path }: Operation): number {
  if (bodies.length > 0) return 4;
  return method !== 'POST' && path.includes('{') ? 3 : 1;
}

function stepOf(values: Values, operation: Operation): Arbitrary<Step> {
  const valid = validStep(values, operation);
  return fc.oneof(
    { arbitrary: valid, weight: 5 },
    { arbitrary: fc.tuple(valid, nearly(values, operation)).map(together), weight: 2 },
    { arbitrary: fc.tuple(valid, fc.oneof(...mutations(operation))).map(together), weight: 3 },
  );
}

/** What is to be otherwise about a step: `edits` are made to the body that it has. */
type Changes = Partial<Step> & { edits?: Edit[] };

function together([step, { edits: made, ...changes }]: [Step, Changes]): Step {
  const query = [...step.query, ...(changes.query ?? [])];
  const headers = [...step.headers, ...(changes.headers ?? [])];
  const body = made && step.body ? { ...step.body, edits: made } : (changes.body ?? step.body);
  return {
    ...step,
    ...changes,
    query,
    headers,
    path: { ...step.path, ...changes.path },
    ...(body && { body }),
  };
}

const pick = fc.option(fc.nat(20), { nil: undefined, freq: 4 });

function source(value: Arbitrary<unknown>): Arbitrary<Source> {
  return fc.record({ text: value.map(inText), pick }, { requiredKeys: ['text'], noNullPrototype: true });
}

function inText(value: unknown): string {
  return (typeof value === 'string' ? value : (JSON.stringify(value) ?? '')).toWellFormed();
}

function validStep(values: Values, operation: Operation): Arbitrary<Step> {
  const of = (place: Parameter['in']) => operation.parameters.filter((one) => one.in === place);
  const named = (parameters: Parameter[], absent: number, present: number): Arbitrary<[string, Source][]> =>
    fc
      .tuple(
        ...parameters.map((one) => {
          const given = source(parameterValue(values, one)).map((value): [string, Source] | undefined => [
            one.name,
            value,
          ]);
          const none = { arbitrary: fc.constant(undefined), weight: absent };
          return one.required ? given : fc.oneof(none, { arbitrary: given, weight: present });
        }),
      )
      .map((pairs) => pairs.filter((pair) => pair !== undefined));
  return fc
    .record({
      wire: fc.nat(9).map((one) => one === 0),
      isAgain: fc.nat(9).map((one) => one === 0),
      chunked: fc.nat(4).map((one) => one === 0),
      path: named(of('path'), 1, 2).map((pairs) => Object.fromEntries(pairs)),
      query: operation.method === 'GET' ? named(of('query'), 2, 1) : named(of('query'), 1, 2),
      spelling: fc.constantFrom(...SPELLINGS),
      headers: named(of('header'), 1, 2),
      body: bodyOf(operation, (schema) => values.valid(schema)),
    })
    .map(({ body, ...step }) => ({ operation, ...step, ...(body !== undefined && { body }) }));
}

/** What a header means to be is not in its schema: an entity tag, a number of seconds. */
function parameterValue(values: Values, { in: place, schema }: Parameter): Arbitrary<unknown> {
  const valid = values.valid(schema);
  if (place !== 'header') return valid;
  const sendable = valid.filter((value) => /^[\x20-\x7e]*$/.test(inText(value)));
  if (schema.pattern !== undefined) return sendable;
  const usual = fc.constantFrom<unknown>('"1"', '"2"', '*', '"1", W/"2"', ...(schema.examples ?? []));
  return fc.oneof({ arbitrary: usual, weight: 6 }, { arbitrary: sendable, weight: 1 });
}

/** Files of people: what a row of them is, the document tells elsewhere. */
const ROWS = /^text\/csv$|ndjson$/;
const ROW: Schema = { $ref: '#/components/schemas/NewUser' };

function bodyOf(
  { bodies }: Operation,
  value: (schema: Schema) => Arbitrary<unknown>,
): Arbitrary<Body | undefined> {
  if (bodies.length === 0) return fc.constant(undefined);
  const reuse = fc.record({
    at: fc.nat(10),
    pick: fc.nat(20),
    how: fc.constantFrom('same', 'same', 'upper', 'decomposed'),
  });
  return fc.oneof(
    ...bodies.map(({ mediaType, schema }) =>
      fc.record(
        {
          mediaType: fc.constant(mediaType),
          ...(ROWS.test(mediaType)
            ? { value: fc.array(value(ROW), { maxLength: 6 }), isFile: fc.constant(true) }
            : { value: value(schema) }),
          reuse: fc.option(reuse, { nil: undefined, freq: 3 }),
          edits: fc.constant<Edit[]>([]),
        },
        { noNullPrototype: true },
      ),
    ),
  ) as Arbitrary<Body>;
}

/** One place of the request at its bounds, or one beyond. */
function nearly(values: Values, operation: Operation): Arbitrary<Changes> {
  const places: Arbitrary<Changes>[] = operation.parameters.map(({ in: place, name, schema }) => {
    const value = values.near(schema).map((one): Source => ({ text: inText(one) }));
    if (place === 'path') return value.map((one) => ({ path: { [name]: one } }));
    if (place === 'query') return value.map((one) => ({ query: [[name, one]] }));
    return value
      .filter(({ text }) => /^[\t\x20-\x7e]*$/.test(text))
      .map((one) => ({ headers: [[name, one]] }));
  });
  if (operation.bodies.length > 0) {
    const near = bodyOf(operation, (schema) => values.near(schema)).map(
      (body): Changes => (body === undefined ? {} : { body }),
    );
    places.push(near, near, near);
  }
  return places.length === 0 ? fc.constant({}) : fc.oneof(...places);
}

/** Ways in which a request is not as it should be. Some are harmless: the judge says which. */
function mutations(operation: Operation): Arbitrary<Changes>[] {
  const wire = fc.constant(true);
  const text = (one: Arbitrary<string>) => one.map((value): Source => ({ text: value }));
  const header = (name: Arbitrary<string>, value: Arbitrary<string>) =>
    fc.tuple(name, text(value)).map((pair): [string, Source][] => [pair]);
  const names = [
    ...operation.parameters.filter((one) => one.in === 'header').map((one) => one.name),
    'x-odd',
  ];
  const media = fc.constantFrom('application/json', ...operation.bodies.map(({ mediaType }) => mediaType));
  const body = bodyOf(operation, () => anyJson);
  const broken = fc.tuple(body, edits, anyJson, media).map(([own, changes, value, mediaType]) => ({
    body: { ...(own ?? { mediaType, value }), edits: changes },
  }));
  const edited = edits.map((changes): Changes => ({ edits: changes }));
  return [
    ...(operation.bodies.length > 0 ? [edited, edited, edited, edited, broken] : [broken]),
    fc.record({ wire, target: fc.constantFrom(...PATHS) }),
    fc.record({
      wire,
      path: fc
        .constantFrom(...PATH_PARTS)
        .map((one) => Object.fromEntries(pathNames(operation).map((name) => [name, { text: `raw:${one}` }]))),
    }),
    fc.record({ wire, method: fc.constantFrom(...METHODS) }),
    fc.record({ method: fc.constantFrom('GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'HEAD', 'OPTIONS') }),
    fc.record({
      query: fc
        .tuple(
          fc.constantFrom('limit', 'after', 'sort', 'x', '', '__proto__', 'limit[]', 'q', 'email', 'at'),
          text(fc.constantFrom('1', '', 'x', '%', '&', '\u00e9', '0', '-1', '1e3', 'id', 'a@b.c')),
        )
        .map((pair): [string, Source][] => [pair]),
    }),
    fc.record({ wire, headers: header(fc.constantFrom(...names), fc.constantFrom(...HEADER_VALUES)) }),
    fc.record({
      wire,
      headers: fc
        .constantFrom(...HEADERS)
        .map(([name, value]): [string, Source][] => [[name, { text: value }]]),
    }),
    fc.record({ wire, headers: header(fc.constant('content-type'), fc.constantFrom(...CONTENT_TYPES)) }),
    fc.record({
      headers: fc
        .record({ text: fc.constantFrom('Bearer x', 'Basic YTpi', 'Bearer', 'bearer mk_a_b', 'x', ''), pick })
        .map((value): [string, Source][] => [['authorization', value as Source]]),
    }),
  ];
}

export function pathNames({ path }: Operation): string[] {
  return [...path.matchAll(/\{(\w+)\}/g)].map(([, name = '']) => name);
}
