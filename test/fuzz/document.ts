import { readFile } from 'node:fs/promises';

/** As much of JSON Schema as the document uses. */
export interface Schema {
  $ref?: string;
  type?: string | string[];
  enum?: unknown[];
  const?: unknown;
  oneOf?: Schema[];
  anyOf?: Schema[];
  allOf?: Schema[];
  properties?: Record<string, Schema>;
  required?: string[];
  additionalProperties?: boolean | Schema;
  items?: Schema;
  minItems?: number;
  maxItems?: number;
  uniqueItems?: boolean;
  minLength?: number;
  maxLength?: number;
  pattern?: string;
  format?: string;
  minimum?: number;
  maximum?: number;
  'x-maxBytes'?: number;
  examples?: unknown[];
}

export interface Parameter {
  name: string;
  in: 'path' | 'query' | 'header';
  required?: boolean;
  schema: Schema;
}

/** One method of one path, with what it takes. */
export interface Operation {
  id: string;
  method: string;
  /** As in the document: `/users/{id}`. */
  path: string;
  parameters: Parameter[];
  /** What it reads as a body, by media type; none: it has no body. */
  bodies: { mediaType: string; schema: Schema; pointer: string[] }[];
  statuses: number[];
  /** Whether it asks who somebody is. */
  isGuarded: boolean;
}

interface RawOperation {
  operationId: string;
  parameters?: Parameter[];
  requestBody?: { content: Record<string, { schema: Schema }> };
  responses: Record<string, unknown>;
  security?: unknown[];
}

export interface Document {
  paths: Record<string, Record<string, RawOperation>>;
  components: { schemas: Record<string, Schema> };
}

const METHODS = ['get', 'post', 'put', 'patch', 'delete'];

export async function readDocument(): Promise<Document> {
  return JSON.parse(await readFile(new URL('../../openapi.json', import.meta.url), 'utf8'));
}

/** Every operation of the document: a route that is added there is fuzzed without a word here. */
export function operationsOf({ paths }: Document): Operation[] {
  return Object.entries(paths).flatMap(([path, item]) =>
    Object.entries(item)
      .filter(([method]) => METHODS.includes(method))
      .map(([method, raw]) => ({
        id: raw.operationId,
        method: method.toUpperCase(),
        path,
        parameters: raw.parameters ?? [],
        bodies: Object.entries(raw.requestBody?.content ?? {}).map(([mediaType, { schema }]) => ({
          mediaType,
          schema,
          pointer: ['paths', path, method, 'requestBody', 'content', mediaType, 'schema'],
        })),
        statuses: Object.keys(raw.responses).map(Number),
        isGuarded: (raw.security ?? []).length > 0,
      })),
  );
}

/** The schema that a reference names: `#/components/schemas/User`. */
export function follow(document: Document, schema: Schema): Schema {
  if (schema.$ref === undefined) return schema;
  const found = document.components.schemas[schema.$ref.replace('#/components/schemas/', '')];
  if (found === undefined) throw new Error(`the document has no ${schema.$ref}`);
  return follow(document, found);
}
