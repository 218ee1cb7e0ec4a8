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

/** `allErrors: false` where a value may hold many that are wrong: what Ajv does to list them is quadratic. */
function ajvOptions(formats: Formats, { allErrors }: { allErrors: boolean }) {
  const onAjv = (ajv: { addKeyword(definition: object): unknown }) => {
    ajv.addKeyword({
      keyword: 'x-maxBytes',
      validate: (limit: number, value: unknown) => jsonBytes(value) <= limit,
    });
    ajv.addKeyword({ keyword: 'x-tags' }); // for the words of a refusal, see `inWords`
    ajv.addKeyword({ keyword: 'x-firstFault' });
  };
  return {
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
    plugins: [onAjv as never],
  };
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
  let compile: ((route: never) => unknown) | undefined;
  return (schema: object, base: readonly string[]) => {
    let validate: Validate | undefined;
    return (value: unknown): Fault[] => {
      const external = Object.fromEntries(schemas.map((one) => [one.$id, one]));
      compile ??= AjvCompiler()(external as never, ajvOptions(formats, { allErrors }) as never) as never;
      validate ??= compile?.({ schema, httpPart: 'body' } as never) as Validate;
      if (allErrors && Object.keys(value ?? {}).length > MOST_MEMBERS)
        return faultsOf([TOO_MANY], 'body', base);
      if (validate(value)) return [];
      return faultsOf((validate.errors ?? []) as Broken[], 'body', base);
    };
  };
}

/**
 * Fastify's own validator coerces and strips in silence. This one changes no body, and reports everything that is
 * wrong. Query and path parameters, which arrive as text, are turned into numbers and booleans only where they are
 * written as such.
 */
export function strictValidation(formats: Formats): FastifyServerOptions {
  const buildCompiler = AjvCompiler();
  return {
    ajv: ajvOptions(formats, { allErrors: true }),
    schemaController: {
      compilersFactory: {
        buildValidator(externalSchemas: unknown, options: never) {
          let compile: ReturnType<typeof buildCompiler> | undefined;
          let compileFirst: ReturnType<typeof buildCompiler> | undefined;
          return (route: { schema: ParameterSchema; httpPart: string }) => {
            const parameters = route.httpPart === 'body' ? [] : Object.entries(route.schema.properties ?? {});
            // Compiled when it is first asked for: all of them at the start would cost it 100 ms.
            let validate: Validate | undefined;
            const isClosed = route.httpPart !== 'headers';
            return (data: Record<string, unknown>) => {
              if (isClosed && Object.keys(data ?? {}).length > MOST_MEMBERS) return { error: [TOO_MANY] };
              if (route.schema['x-firstFault']) {
                const first = ajvOptions(formats, { allErrors: false });
                compileFirst ??= buildCompiler(externalSchemas as never, first as never);
                validate ??= compileFirst(route as never) as Validate;
              } else {
                compile ??= buildCompiler(externalSchemas as never, options);
                validate ??= compile(route as never) as Validate;
              }
              for (const [name, schema] of parameters) readParameter(data, name, schema);
              return validate(data) || { error: validate.errors };
            };
          };
        },
        // Compiled when it is first needed, likewise.
        buildSerializer(externalSchemas: unknown, options: unknown) {
          const compile = SerializerCompiler()(externalSchemas, options as never);
          return (route: unknown) => {
            let serialize: ((data: unknown) => string) | undefined;
            return (data: unknown) => {
              serialize ??= compile(route as never) as (data: unknown) => string;
              return serialize(data);
            };
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

type Validate = ((data: unknown) => boolean) & { errors?: unknown };

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
