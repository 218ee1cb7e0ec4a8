import { defineEntity, p } from '@mikro-orm/core';
import type { Scope } from '../http/access.ts';

/**
 * An API key. Of the key itself only its SHA-256 is here: it has 256 random bits, so nothing slower is needed to keep it
 * from being guessed. One that was revoked stays: with it the service knows that it is not open any more.
 */
const ApiKeySchema = defineEntity({
  name: 'ApiKey',
  tableName: 'api_keys',
  properties: {
    id: p.text().primary(),
    name: p.text(),
    hash: p.text(),
    scopes: p.json<Scope[]>().columnType('json'),
    createdAt: p.datetime(3),
    expiresAt: p.datetime(3).nullable(),
    lastUsedAt: p.datetime(3).nullable(),
    revokedAt: p.datetime(3).nullable(),
  },
});

export class ApiKey extends ApiKeySchema.class {}
ApiKeySchema.setClass(ApiKey);
