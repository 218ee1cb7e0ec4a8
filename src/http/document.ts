import type { OpenAPIV3_1 } from 'openapi-types';

/** As much of a document as is touched here. Nothing in ours refers to anything but schemas. */
interface Schema {
  $ref?: string;
  type?: string;
  items?: Schema;
  default?: unknown;
  examples?: unknown[];
  required?: string[];
  properties?: Record<string, Schema>;
  oneOf?: Schema[];
  discriminator?: { mapping?: Record<string, string | undefined> };
  'x-tags'?: string[];
}
interface Parameter {
  name: string;
  in: string;
  schema: Schema;
  required?: boolean;
  example?: unknown;
}
interface Body {
  headers?: Record<string, Parameter>;
  content?: Record<string, { schema: Schema; example?: unknown; examples?: object }>;
}
interface Operation {
  parameters?: Parameter[];
  requestBody?: Body;
  responses: Record<string, Body>;
}

/**
 * What is added to the API document that @fastify/swagger makes of the routes' schemas. Only the document is changed:
 * requests are validated and answers written by the schemas themselves.
 */
export function finishDocument(document: OpenAPIV3_1.Document): OpenAPIV3_1.Document {
  const { openapi, info, servers, security, tags, paths, components, ...rest } = document;
  const schemas = components?.schemas as Record<string, Schema>;
  for (const item of Object.values(paths as Record<string, Record<string, Operation>>)) {
    for (const { parameters = [], requestBody = {}, responses } of Object.values(item)) {
      parameters.forEach(finishParameter);
      for (const { headers = {}, content = {} } of [requestBody, ...Object.values(responses)]) {
        Object.values(headers).forEach(finishHeader);
        for (const media of Object.values(content)) {
          // A body without an example of its own has that of its component.
          if (media.examples === undefined) media.example ??= exampleOf(media.schema, schemas);
        }
      }
    }
  }
  for (const schema of Object.values(schemas)) {
    mapKinds(schema);
    leaveOutDefaults(schema);
  }
  return { openapi, info, servers, security, tags, paths, components, ...rest } as OpenAPIV3_1.Document;
}

/** Ajv takes no `mapping` of a discriminator, and a reader of the document needs one. `x-tags` is ours alone. */
function mapKinds(schema: Schema): void {
  const { 'x-tags': tags, discriminator, oneOf = [] } = schema;
  if (tags === undefined || discriminator === undefined) return;
  discriminator.mapping = Object.fromEntries(tags.map((tag, at) => [tag, oneOf[at]?.$ref]));
  delete schema['x-tags'];
}

/** What has a default is always there for a handler, so its schema requires it, but a caller may leave it out. */
function leaveOutDefaults(schema: Schema): void {
  const { required, properties = {} } = schema;
  if (required !== undefined)
    schema.required = required.filter((name) => properties[name]?.default === undefined);
}

/**
 * Header names are lower-case where Fastify validates; people know them by their other form. As with members, a caller may
 * leave a parameter with a default out. The page under /docs fills in
 * the example of a parameter and sends it: of one that may be left out, such as a cursor, the example therefore stays
 * with the schema.
 */
function finishParameter(parameter: Parameter): void {
  if (parameter.in === 'header') parameter.name = parameter.name.replace(/\b[a-z]/g, (c) => c.toUpperCase());
  if ('default' in parameter.schema) parameter.required = false;
  if (parameter.required === true || parameter.example === undefined) return;
  parameter.schema = { ...parameter.schema, examples: [parameter.example] };
  delete parameter.example;
}

/** `required` and the example are the header's, not its schema's. */
function finishHeader(header: Parameter): void {
  const { required, examples, ...schema } = header.schema as Schema & { required?: boolean };
  header.schema = schema;
  if (required === true) header.required = true;
  if (examples !== undefined) header.example = examples[0];
}

function exampleOf({ $ref, type, items, examples }: Schema, schemas: Record<string, Schema>): unknown {
  const named = schemas[$ref?.replace('#/components/schemas/', '') ?? ''];
  if (named !== undefined) return exampleOf(named, schemas);
  if (type !== 'array' || items === undefined) return examples?.[0];
  const item = exampleOf(items, schemas);
  return item === undefined ? undefined : [item];
}
