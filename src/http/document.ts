import type { FastifySchema } from 'fastify';
import type { OpenAPIV3_1 } from 'openapi-types';

/**
 * What is added to the API document that @fastify/swagger makes of the routes' schemas. Only the document is changed:
 * requests are validated and answers written by the schemas themselves.
 */
export function finishDocument(document: OpenAPIV3_1.Document): OpenAPIV3_1.Document {
  const { openapi, info, servers, security, tags, paths = {}, components = {}, ...rest } = document;
  const inOrder = Object.fromEntries(
    Object.entries(paths).map(([path, item]) => [path, sortMethods(item ?? {})]),
  );
  for (const operation of operationsOf(inOrder)) {
    for (const parameter of operation.parameters ?? [])
      if (!('$ref' in parameter)) finishParameter(parameter);
    if (operation.requestBody !== undefined && !('$ref' in operation.requestBody)) {
      finishContent(operation.requestBody.content, components);
    }
    for (const answer of Object.values(operation.responses ?? {})) {
      if ('$ref' in answer) continue;
      for (const header of Object.values(answer.headers ?? {})) if (!('$ref' in header)) finishHeader(header);
      finishContent(answer.content ?? {}, components);
    }
  }
  for (const schema of Object.values(components.schemas ?? {})) mapKinds(schema);
  return {
    openapi,
    info,
    servers,
    security,
    tags,
    paths: inOrder,
    components,
    ...rest,
  } as OpenAPIV3_1.Document;
}

/**
 * Answers with an example of their own. @fastify/swagger drops whatever stands beside a `$ref`, so those answers are
 * given to it in the long form. A route that names no schema has none.
 */
export function showExamples(schema: FastifySchema | undefined): FastifySchema {
  if (typeof schema?.response !== 'object' || schema.response === null) return schema ?? {};
  const response = Object.fromEntries(
    Object.entries(schema.response).map(([status, answer]) => {
      if (!('example' in answer)) return [status, answer];
      const { description, headers, example, ...body } = answer;
      return [status, { description, headers, content: { 'application/json': { schema: body, example } } }];
    }),
  );
  return { ...schema, response };
}

/** Ajv takes no `mapping` of a discriminator, and a reader of the document needs one. `x-tags` is ours alone. */
function mapKinds(schema: OpenAPIV3_1.SchemaObject & { 'x-tags'?: string[] }): void {
  const { 'x-tags': tags, discriminator, oneOf = [] } = schema;
  if (tags === undefined || discriminator === undefined) return;
  const references = oneOf.flatMap((one) => ('$ref' in one ? one.$ref : []));
  discriminator.mapping = Object.fromEntries(tags.map((tag, at) => [tag, references[at] ?? '']));
  delete schema['x-tags'];
}

/** As people read them, not as they happen to be registered. */
const METHODS = ['post', 'get', 'put', 'patch', 'delete'] as const;

function sortMethods(item: OpenAPIV3_1.PathItemObject): OpenAPIV3_1.PathItemObject {
  const sorted: OpenAPIV3_1.PathItemObject = {};
  for (const method of METHODS) if (item[method] !== undefined) sorted[method] = item[method];
  return { ...sorted, ...item };
}

function* operationsOf(paths: OpenAPIV3_1.PathsObject): Iterable<OpenAPIV3_1.OperationObject> {
  for (const path of Object.values(paths)) {
    for (const method of METHODS) {
      const operation = path?.[method];
      if (operation !== undefined) yield operation;
    }
  }
}

/**
 * Header names are lower-case where Fastify validates; people know them by their other form. A parameter with a default
 * is always there for a handler, so its schema requires it, but a caller may leave it out. The page under /docs fills in
 * the example of a parameter and sends it: of one that may be left out, such as a cursor, the example therefore stays
 * with the schema.
 */
function finishParameter(parameter: OpenAPIV3_1.ParameterObject): void {
  if (parameter.in === 'header') parameter.name = parameter.name.replace(/\b[a-z]/g, (c) => c.toUpperCase());
  if (parameter.schema !== undefined && 'default' in parameter.schema) parameter.required = false;
  if (parameter.required === true || parameter.example === undefined) return;
  parameter.schema = Object.assign({}, parameter.schema, { examples: [parameter.example] });
  delete parameter.example;
}

/** `required` and the example are the header's, not its schema's. */
function finishHeader(header: OpenAPIV3_1.HeaderObject): void {
  const { required, examples, ...schema } = (header.schema ?? {}) as Record<string, unknown>;
  header.schema = schema as typeof header.schema;
  if (required === true) header.required = true;
  if (Array.isArray(examples)) header.example = examples[0];
}

/** A body without an example of its own has that of its component. */
function finishContent(
  content: Record<string, OpenAPIV3_1.MediaTypeObject>,
  components: OpenAPIV3_1.ComponentsObject,
): void {
  for (const media of Object.values(content)) {
    if (media.example !== undefined || media.examples !== undefined) continue;
    const example = exampleOf(media.schema, components);
    if (example !== undefined) media.example = example;
  }
}

function exampleOf(
  schema: OpenAPIV3_1.SchemaObject | OpenAPIV3_1.ReferenceObject | undefined,
  components: OpenAPIV3_1.ComponentsObject,
): unknown {
  if (schema === undefined) return undefined;
  if ('$ref' in schema) {
    return exampleOf(components.schemas?.[schema.$ref.replace('#/components/schemas/', '')], components);
  }
  if (schema.type !== 'array') return schema.examples?.[0];
  const item = exampleOf(schema.items, components);
  return item === undefined ? undefined : [item];
}
