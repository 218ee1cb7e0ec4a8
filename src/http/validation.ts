import AjvCompiler from '@fastify/ajv-compiler';
import SerializerCompiler from '@fastify/fast-json-stringify-compiler';
import type { FastifyServerOptions } from 'fastify';
import type { Fault } from '../errors.ts';
import { toPointer } from './json.ts';

/** What Ajv says of one broken rule. */
interface Broken {
  keyword: string;
  instancePath: string;
  params: Record<string, unknown>;
  message?: string;
  parentSchema?: { description?: string; 'x-tags'?: readonly string[] };
}

/** Bytes of a value as compact JSON in UTF-8. */
export function jsonBytes(value: unknown): number {
  return Buffer.byteLength(JSON.stringify(value));
}

type Formats = Record<string, (value: string) => boolean>;

type Validate = ((data: unknown) => boolean) & { errors?: unknown };
type Serialize = (data: unknown) => string;

/** Made when it is first needed: to compile all schemas at the start would cost it 100 ms. */
function lazy<T>(make: () => T): () => T {
  let made: T | undefined;
  return () => {
    made ??= make();
    return made;
  };
}

/** `allErrors: false` where a value may hold many that are wrong: what Ajv does to list them is quadratic. */
function lazyCompiler(
  build: ReturnType<typeof AjvCompiler>,
  formats: Formats,
  allErrors: boolean,
  schemas: unknown,
) {
  const onAjv = (ajv: { addKeyword(definition: object): unknown }) => {
    ajv.addKeyword({
      keyword: 'x-maxBytes',
      validate: (limit: number, value: unknown) => jsonBytes(value) <= limit,
    });
    ajv.addKeyword({ keyword: 'x-tags' }); // for the words of a refusal, see `inWords`
    ajv.addKeyword({ keyword: 'x-firstFault' });
  };
  const options = {
    customOptions: {
      coerceTypes: false,
      removeAdditional: false,
      useDefaults: true,
      allErrors,
      verbose: true,
      discriminator: true,
      allowUnionTypes: true,
      validateSchema: false, // our own schemas; the tests hold the document that they make to OpenAPI
      formats,
    },
    plugins: [onAjv],
  };
  const compiler = lazy(() => build(schemas as never, options as never) as (route: unknown) => Validate);
  return (route: { schema: object; httpPart: string }) => lazy(() => compiler()(route));
}

/**
 * Checks values that did not come as the body of a request by the same rules. `schemas` are those that may be referred
 * to. What it gives says the first thing that is wrong with a value, or all, with a pointer below `base`.
 */
export function valueChecker(
  formats: Formats,
  schemas: readonly { $id?: string }[],
  { allErrors = false } = {},
) {
  const byId = Object.fromEntries(schemas.map((one) => [one.$id, one]));
  const compile = lazyCompiler(AjvCompiler(), formats, allErrors, byId);
  return (schema: object, base: readonly string[]) => {
    const validator = compile({ schema, httpPart: 'body' });
    return (value: unknown): Fault[] => {
      if (allErrors && Object.keys(value ?? {}).length > MOST_MEMBERS)
        return faultsOf([TOO_MANY], 'body', base);
      const validate = validator();
      return validate(value) ? [] : faultsOf((validate.errors ?? []) as Broken[], 'body', base);
    };
  };
}

/**
 * Fastify's own validator coerces and strips in silence. This one changes no body, and reports everything that is
 * wrong. Query and path parameters, which arrive as text, are turned into numbers and booleans only where they are
 * written as such.
 */
export function strictValidation(formats: Formats): FastifyServerOptions {
  const build = AjvCompiler();
  return {
    schemaController: {
      compilersFactory: {
        buildValidator(schemas: unknown) {
          const compileAll = lazyCompiler(build, formats, true, schemas);
          const compileFirst = lazyCompiler(build, formats, false, schemas);
          return (route: { schema: ParameterSchema; httpPart: string }) => {
            const parameters = route.httpPart === 'body' ? [] : Object.entries(route.schema.properties ?? {});
            const isClosed = route.httpPart !== 'headers';
            const validator = route.schema['x-firstFault'] ? compileFirst(route) : compileAll(route);
            return (data: Record<string, unknown>) => {
              if (isClosed && Object.keys(data ?? {}).length > MOST_MEMBERS) return { error: [TOO_MANY] };
              for (const [name, schema] of parameters) readParameter(data, name, schema);
              const validate = validator();
              return validate(data) || { error: validate.errors };
            };
          };
        },
        buildSerializer(schemas: unknown, options: unknown) {
          const compile = SerializerCompiler()(schemas, options as never) as (route: unknown) => Serialize;
          return (route: unknown): Serialize => {
            const serializer = lazy(() => compile(route));
            return (data) => serializer()(data);
          };
        },
      } as never,
    },
  };
}

/** All that is wrong is listed, and 30,000 unknown names would take half a second to list. */
const MOST_MEMBERS = 100;
const TOO_MANY = {
  keyword: 'maxProperties',
  instancePath: '',
  params: {},
  message: `must not have more than ${MOST_MEMBERS} members`,
};

interface ParameterSchema {
  type?: string;
  /** Only the first thing that is wrong is told. */
  'x-firstFault'?: boolean;
  properties?: Record<string, ParameterSchema>;
}

function readParameter(data: Record<string, unknown>, name: string, schema: ParameterSchema): void {
  const given = data[name];
  if (typeof given !== 'string') return;
  if (schema.type === 'integer' && /^-?(?:0|[1-9]\d{0,15})$/.test(given)) data[name] = Number(given);
  if (schema.type === 'boolean' && (given === 'true' || given === 'false')) data[name] = given === 'true';
}

const PARTS = { body: 'body', querystring: 'query', params: 'path', headers: 'headers' } as const;

/** Every broken rule with its place, in words for people. */
export function faultsOf(
  broken: readonly Broken[],
  context: keyof typeof PARTS,
  base: readonly string[] = [],
): Fault[] {
  return broken.map((rule) => {
    const below = rule.instancePath
      .split('/')
      .slice(1)
      .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'));
    const path = [...base, ...below];
    const missing = rule.params.missingProperty ?? rule.params.additionalProperty ?? rule.params.tag;
    if (typeof missing === 'string') path.push(missing);
    return { in: PARTS[context], pointer: toPointer(path), detail: inWords(rule) };
  });
}

function inWords({ keyword, params, message, parentSchema }: Broken): string {
  switch (keyword) {
    case 'discriminator':
      return `must be one of ${(parentSchema?.['x-tags'] ?? []).join(', ')}`;
    case 'required':
      return 'is required';
    case 'additionalProperties':
      return 'is not known here';
    case 'enum':
      return `must be one of ${(params.allowedValues as unknown[]).join(', ')}`;
    case 'pattern':
    case 'format':
    case 'x-maxBytes':
      return `must be ${parentSchema?.description ?? 'of another form'}`;
    default:
      return message ?? 'is wrong';
  }
}
