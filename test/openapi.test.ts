import { readFile } from 'node:fs/promises';
import { createConfig, lintFromString } from '@redocly/openapi-core';
import { Validator } from '@seriousme/openapi-schema-validator';
import type { OpenAPIV3_1 } from 'openapi-types';
import t from 'tap';
import { documentFile, renderDocument } from '../scripts/openapi.ts';
import { buildApp } from '../src/app.ts';
import { loadConfig } from '../src/config.ts';

const text = await readFile(documentFile, 'utf8');
const document: OpenAPIV3_1.Document = JSON.parse(text);

const PROBLEM = '#/components/schemas/Problem';

interface Listed {
  name: string;
  path: string;
  method: string;
  operation: OpenAPIV3_1.OperationObject;
}

const operations: Listed[] = Object.entries(document.paths ?? {}).flatMap(([path, item]) =>
  Object.entries(item ?? {}).flatMap(([method, operation]) =>
    typeof operation === 'object' && 'responses' in operation
      ? [{ name: `${method.toUpperCase()} ${path}`, path, method, operation }]
      : [],
  ),
);

/** Every answer of every operation; none of them is a reference. */
const answers = operations.flatMap(({ name, method, operation }) =>
  Object.entries(operation.responses ?? {}).flatMap(([status, answer]) =>
    '$ref' in answer ? [] : [{ name: `${name} ${status}`, method, status: Number(status), answer }],
  ),
);

t.test('openapi.json is what the service makes: `npm run openapi` was not forgotten', async (t) => {
  t.equal(text, await renderDocument());
});

t.test('GET /openapi.json serves it, whatever the configuration', async (t) => {
  const config = loadConfig({ DATABASE_URL: 'sqlite::memory:', LOG_LEVEL: 'silent', PORT: '8080' });
  const jwt = { issuer: 'https://issuer.example', audience: 'muster' };
  const app = await buildApp({ ...config, host: '0.0.0.0', jwt, maxConnections: 5 });
  t.teardown(() => app.close());
  const response = await app.inject('/openapi.json');
  t.equal(response.headers['content-type'], 'application/json; charset=utf-8');
  t.strictSame(response.json(), document);
});

t.test('Redocly’s recommended rules find neither an error nor a warning', async (t) => {
  const config = await createConfig({ extends: ['recommended'] });
  const problems = await lintFromString({ source: text, absoluteRef: documentFile, config });
  const found = problems.map(({ severity, ruleId, message, location }) => ({
    severity,
    ruleId,
    message,
    at: location.map(({ pointer }) => pointer),
  }));
  t.strictSame(found, []);
});

t.test('it is valid by the OpenAPI 3.1 schema', async (t) => {
  t.match(document.openapi, /^3\.1\.\d+$/);
  t.strictSame(await new Validator().validate(JSON.parse(text)), { valid: true });
});

t.test('every route of the service is listed', async (t) => {
  t.strictSame(operations.map(({ name }) => name).sort(), [
    'DELETE /keys/{id}',
    'DELETE /schedules/{id}',
    'DELETE /users/{id}',
    'DELETE /webhooks/{id}',
    'GET /changes',
    'GET /health/live',
    'GET /health/ready',
    'GET /keys',
    'GET /keys/{id}',
    'GET /metrics',
    'GET /schedules',
    'GET /schedules/{id}',
    'GET /start-task',
    'GET /tasks',
    'GET /tasks/{id}',
    'GET /tasks/{id}/errors',
    'GET /user/{id}',
    'GET /users',
    'GET /users/export',
    'GET /users/{id}',
    'GET /users/{id}/history',
    'GET /webhooks',
    'GET /webhooks/{id}',
    'GET /webhooks/{id}/deliveries',
    'PATCH /users/{id}',
    'PATCH /webhooks/{id}',
    'POST /add-user',
    'POST /keys',
    'POST /schedules',
    'POST /tasks',
    'POST /tasks/{id}/cancel',
    'POST /tasks/{id}/retry',
    'POST /users',
    'POST /users/import',
    'POST /users/{id}/erase',
    'POST /webhooks',
    'POST /webhooks/{id}/replay',
    'POST /webhooks/{id}/rotate-secret',
    'POST /webhooks/{id}/test',
  ]);
});

t.test('every operation has an id of its own, a summary, a description and a tag', async (t) => {
  const ids = operations.map(({ operation }) => operation.operationId);
  t.strictSame(ids, [...new Set(ids)], 'no operationId is repeated');
  const tags = new Set(document.tags?.map((tag) => tag.name));
  for (const { name, operation } of operations) {
    t.match(operation.operationId, /^[a-z][A-Za-z]+$/, `${name}: operationId`);
    t.match(operation.summary, /^[A-Z].*[^.]$/, `${name}: summary`);
    t.match(operation.description, /\.$/, `${name}: description`);
    t.ok(
      operation.tags?.every((tag) => tags.has(tag)),
      `${name}: tag`,
    );
  }
});

t.test('every parameter has a description and an example, and a default makes it optional', async (t) => {
  for (const { name, operation } of operations) {
    for (const parameter of operation.parameters ?? []) {
      if ('$ref' in parameter) throw new Error(`${name}: no parameter is a reference`);
      const examples = Object.entries(parameter.schema ?? {}).find(
        ([keyword]) => keyword === 'examples',
      )?.[1];
      const what = `${name}: ${parameter.name}`;
      t.ok(parameter.description, `${what}: description`);
      t.ok((parameter.example ?? examples?.[0]) !== undefined, `${what}: example`);
      t.equal(parameter.required, parameter.in === 'path', `${what}: required`);
      // The page under /docs sends what `example` says, also when nobody has filled the field in.
      if (!parameter.required) t.equal(parameter.example, undefined, `${what}: not sent unasked`);
    }
  }
});

t.test('no member that has a default is required', async (t) => {
  const { ImportInput } = document.components?.schemas ?? {};
  t.strictSame(ImportInput?.required, ['format']);
  for (const [name, { required = [], properties = {} }] of Object.entries(
    document.components?.schemas ?? {},
  )) {
    const made = Object.entries(properties).filter(([, member]) => 'default' in member);
    t.strictSame(
      made.filter(([member]) => required.includes(member)),
      [],
      name,
    );
  }
});

t.test('every body, asked for or answered, has an example', async (t) => {
  const bodies = operations.flatMap(({ name, operation: { requestBody } }) =>
    requestBody === undefined || '$ref' in requestBody ? [] : [{ name, content: requestBody.content }],
  );
  t.equal(bodies.length, 10, 'eight POSTs and two PATCHes');
  const all = [...bodies, ...answers.map(({ name, answer }) => ({ name, content: answer.content ?? {} }))];
  for (const { name, content } of all) {
    for (const [type, { example, examples }] of Object.entries(content)) {
      t.ok(example ?? Object.values(examples ?? {})[0], `${name} ${type}`);
    }
  }
});

t.test('every operation lists its refusals, each a Problem', async (t) => {
  for (const { name, operation } of operations) {
    const statuses = Object.keys(operation.responses ?? {});
    for (const status of ['400', '415', '500', '503']) t.ok(statuses.includes(status), `${name}: ${status}`);
  }
  const refusals = answers.filter(({ status }) => status >= 400);
  for (const { name, answer } of refusals) {
    t.match(answer.content, { 'application/problem+json': { schema: { $ref: PROBLEM } } }, name);
    t.strictSame(Object.keys(answer.content ?? {}), ['application/problem+json'], `${name}: nothing else`);
  }
});

t.test('an example of a refusal has the status that it is listed under', async (t) => {
  for (const { name, status, answer } of answers.filter((one) => one.status >= 400)) {
    for (const example of Object.values(answer.content?.['application/problem+json']?.examples ?? {})) {
      t.match(example, { value: { status } }, name);
    }
  }
});

t.test('the headers of an answer are listed with it, with an example', async (t) => {
  const listed = Object.fromEntries(
    answers.flatMap(({ name, answer }) => {
      const headers = Object.entries(answer.headers ?? {});
      for (const [header, details] of headers) {
        t.match(details, { description: String, example: /./ }, `${name}: ${header}`);
      }
      return headers.length === 0 ? [] : [[name, headers.map(([header]) => header)]];
    }),
  );
  const everywhere = ({ name, method }: Listed) => [
    [`${name} 401`, ['WWW-Authenticate']],
    [`${name} 403`, ['WWW-Authenticate']],
    [`${name} 415`, [method === 'patch' ? 'Accept-Patch' : 'Accept']],
    [`${name} 429`, ['Retry-After', 'RateLimit-Policy', 'RateLimit']],
    [`${name} 503`, ['Retry-After']],
  ];
  t.strictSame(listed, {
    ...Object.fromEntries(operations.flatMap(everywhere)),
    'POST /users 201': ['Location', 'ETag', 'Idempotent-Replayed'],
    'GET /users 200': ['Link', 'Muster-Epoch', 'Muster-Position'],
    'GET /users/{id}/history 200': ['Link'],
    'POST /users/{id}/erase 202': ['Location'],
    'GET /users/export 200': ['Muster-Epoch', 'Muster-Position'],
    'POST /users/import 202': ['Location', 'Idempotent-Replayed'],
    'GET /changes 200': ['Muster-Epoch', 'Muster-Position', 'Link'],
    'GET /users/{id} 200': ['ETag'],
    'GET /users/{id} 304': ['ETag'],
    'GET /users/{id} 412': ['ETag'],
    'PATCH /users/{id} 200': ['ETag'],
    'POST /add-user 200': ['Idempotent-Replayed'],
    'POST /tasks 202': ['Location', 'Idempotent-Replayed'],
    'GET /tasks 200': ['Link'],
    'GET /tasks/{id} 200': ['Preference-Applied'],
    'POST /keys 201': ['Location'],
    'POST /schedules 201': ['Location', 'Idempotent-Replayed'],
    'POST /webhooks 201': ['Location', 'Idempotent-Replayed'],
    'GET /webhooks/{id}/deliveries 200': ['Link'],
    'POST /webhooks/{id}/test 202': ['Location'],
    'POST /webhooks/{id}/replay 202': ['Location'],
  });
});

t.test('204 and 304 have no content, all else has', async (t) => {
  for (const { name, status, answer } of answers) {
    t.equal(answer.content === undefined, [204, 304].includes(status), name);
  }
});

t.test('a PATCH takes a merge patch, and JSON after it', async (t) => {
  const body = document.paths?.['/users/{id}']?.patch?.requestBody;
  const content = body !== undefined && 'content' in body ? body.content : {};
  t.strictSame(Object.keys(content), ['application/merge-patch+json', 'application/json']);
});

t.test('a task to be enqueued is one of its kinds, told apart by name', async (t) => {
  const schema = document.components?.schemas?.NewTask;
  const kinds = ['sleep', 'gather', 'prune', 'erase', 'deliver', 'test-webhook', 'import'];
  t.match(schema, { discriminator: { propertyName: 'kind' } });
  const { discriminator, oneOf = [] } = schema as OpenAPIV3_1.SchemaObject;
  t.strictSame(Object.keys(discriminator?.mapping ?? {}), kinds);
  t.strictSame(
    Object.values(discriminator?.mapping ?? {}),
    oneOf.map((one) => '$ref' in one && one.$ref),
  );
  t.notMatch(text, /x-tags/);
});

t.test(
  'components are named by the schemas that validate, and objects in bodies are components',
  async (t) => {
    const names = Object.keys(document.components?.schemas ?? {});
    t.ok(names.includes('User'));
    for (const name of names) t.match(name, /^(?:[A-Z][a-z]+)+$/, name);
    for (const { name, answer } of answers) {
      for (const { schema } of Object.values(answer.content ?? {})) {
        const item = schema !== undefined && 'items' in schema ? schema.items : schema;
        t.match(item, { $ref: /^#\/components\/schemas\/\w+$/ }, name);
      }
    }
  },
);
