import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { needs, noKey, requireScope, SCOPES, tooNarrow } from '../http/access.ts';
import { TAGS } from '../http/openapi.ts';
import { invalidBody, invalidJson, invalidParameter, problems } from '../http/problems.ts';
import { idParams, locationHeader, ref, timeSchema } from '../http/schemas.ts';
import { readTime } from '../http/times.ts';
import { createKey, expiryIsPast, keyNotFound, listKeys, revokeKey, showKey } from './keys.ts';

const KeyId = {
  type: 'string',
  minLength: 1,
  maxLength: 100,
  description: 'the middle part of a key, by which it is named',
  examples: ['k3v9q0a7m2xz'],
} as const;
const Name = {
  type: 'string',
  minLength: 1,
  maxLength: 100,
  pattern: '^[^\\p{Cc}]+$',
  description: 'what it is for, in 1–100 characters',
  examples: ['billing'],
} as const;
const Scopes = {
  type: 'array',
  items: { type: 'string', enum: SCOPES },
  minItems: 1,
  uniqueItems: true,
  description: 'what it may do',
  examples: [['users:read', 'changes:read']],
} as const;
const expiryExample = '2027-01-15T09:30:00.000Z';
const time = (description: string) => timeSchema(description, expiryExample);

const shown = {
  id: KeyId,
  name: Name,
  scopes: Scopes,
  createdAt: time('when it was made'),
  expiresAt: time('until when it is good; absent: until it is revoked'),
  lastUsedAt: time('when it was last used, to the minute; absent: never'),
  revokedAt: time('since when it is refused'),
};
const example = {
  id: 'k3v9q0a7m2xz',
  name: 'billing',
  scopes: ['users:read', 'changes:read'],
  createdAt: '2026-01-15T09:30:00.000Z',
};

const Key = {
  type: 'object',
  required: ['id', 'name', 'scopes', 'createdAt'],
  properties: shown,
  $id: 'Key',
  additionalProperties: false,
  description: 'An API key, without the key itself.',
  examples: [example],
} as const;

const exampleKey = 'mk_k3v9q0a7m2xz_0A1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6Q7r8S9t0U1';
const CreatedKey = {
  type: 'object',
  required: ['id', 'name', 'scopes', 'createdAt', 'key'],
  properties: {
    ...shown,
    key: { type: 'string', description: 'the key itself, shown this once', examples: [exampleKey] },
  },
  $id: 'CreatedKey',
  additionalProperties: false,
  description: 'A new API key, and the key itself.',
  examples: [{ ...example, key: exampleKey }],
} as const;

const NewKey = {
  type: 'object',
  required: ['name', 'scopes'],
  properties: {
    name: Name,
    scopes: Scopes,
    expiresAt: {
      type: 'string',
      format: 'date-time',
      description: 'until when it is good (RFC 3339); without it, until it is revoked',
      examples: [expiryExample],
    },
  },
  $id: 'NewKey',
  additionalProperties: false,
  description: 'An API key to be made.',
  examples: [{ name: 'billing', scopes: ['users:read', 'changes:read'], expiresAt: expiryExample }],
} as const;

function notKept() {
  return invalidParameter(
    'headers',
    '#/idempotency-key',
    'is not read here: the answer would have to be kept',
  );
}

const createKeySchema = {
  operationId: 'createKey',
  summary: 'Make an API key',
  description:
    'The answer is the only place where the key can be read: only a hash of it is kept. A key can give others no ' +
    'scope that it has not itself. An `Idempotency-Key` is refused here, because the answer would have to be kept.',
  tags: [TAGS.keys.name],
  security: needs('keys'),
  body: ref(NewKey),
  response: {
    201: { ...ref(CreatedKey), description: 'The key', headers: locationHeader('/keys/k3v9q0a7m2xz') },
    ...problems(
      invalidJson(),
      notKept(),
      tooNarrow('users:write'),
      413,
      invalidBody('#/scopes/0', 'must be one of users:read, users:write'),
      expiryIsPast(),
    ),
  },
} as const;

const listKeysSchema = {
  operationId: 'listKeys',
  summary: 'List the API keys',
  description:
    'All of them, oldest first, also those that have been revoked. The keys themselves are nowhere.',
  tags: [TAGS.keys.name],
  security: needs('keys'),
  response: { 200: { type: 'array', items: ref(Key), description: 'The keys' }, ...problems() },
} as const;

const getKeySchema = {
  operationId: 'getKey',
  summary: 'Look at an API key',
  description: 'What it may do, and when it was last used; also of one that has been revoked.',
  tags: [TAGS.keys.name],
  security: needs('keys'),
  params: idParams(KeyId),
  response: {
    200: { ...ref(Key), description: 'The key' },
    ...problems(keyNotFound('k3v9q0a7m2xz'), 414),
  },
} as const;

const revokeKeySchema = {
  operationId: 'revokeKey',
  summary: 'Revoke an API key',
  description:
    'It is refused from now on, on every replica within a second, and what it has open is closed within five.',
  tags: [TAGS.keys.name],
  security: needs('keys'),
  params: idParams(KeyId),
  response: {
    204: { type: 'null', description: 'It is revoked; no body' },
    ...problems(keyNotFound('k3v9q0a7m2xz'), 413, 414),
  },
} as const;

const keys: FastifyPluginAsyncTypebox = async (app) => {
  for (const schema of [Key, CreatedKey, NewKey]) app.addSchema(schema);

  app.post('/keys', { schema: createKeySchema }, async (request, reply) => {
    const { name, scopes, expiresAt } = request.body;
    if (request.headers['idempotency-key'] !== undefined) throw notKept();
    for (const scope of scopes) requireScope(request, scope);
    // The first key may have been made while this body arrived.
    if (!(await request.access.stillHolds())) throw noKey();
    const until = expiresAt === undefined ? {} : { expiresAt: readTime(expiresAt, '#/expiresAt') };
    const key = await app.write((tx) => createKey(tx, { name, scopes, ...until }));
    return reply.code(201).header('location', `/keys/${key.id}`).send(key);
  });

  app.get('/keys', { schema: listKeysSchema }, () => listKeys(app.reader));

  app.get('/keys/:id', { schema: getKeySchema }, ({ params }) => showKey(app.reader, params.id));

  app.delete('/keys/:id', { schema: revokeKeySchema }, async (request, reply) => {
    await app.write((tx) => revokeKey(tx, request.params.id));
    return reply.code(204).send(null);
  });
};

export default keys;
