import { defineEntity, p } from '@mikro-orm/core';

export type Attributes = Record<string, unknown>;

/**
 * A person in the directory. `nameKey` and `emailKey` are what names and emails are compared, filtered and sorted by
 * (see `keys.ts`): computed in TypeScript, so that both databases agree, and ordered by code point on both
 * (`collate "C"` in the PostgreSQL migration, which SQLite's BINARY equals). `searchKey` is what a search looks
 * through by trigrams (pg_trgm on PostgreSQL, a table of FTS5 in SQLite's migration).
 *
 * `attributes` is `json`, not `jsonb`: the text given is the text kept, whatever the order of its members.
 */
const UserSchema = defineEntity({
  name: 'User',
  tableName: 'users',
  indexes: [
    { name: 'users_name_key_id', properties: ['nameKey', 'id'] },
    { name: 'users_created_at_id', properties: ['createdAt', 'id'] },
    {
      name: 'users_search',
      expression:
        'create index users_search on users using gin (search_key gin_trgm_ops) with (gin_pending_list_limit = 256)',
    },
  ],
  properties: {
    id: p.integer().primary(),
    name: p.text(),
    nameKey: p.text().ignoreSchemaChanges('collation'),
    email: p.text(),
    emailKey: p.text().unique('users_email_key_unique').ignoreSchemaChanges('collation'),
    searchKey: p.text().ignoreSchemaChanges('collation'),
    attributes: p.json<Attributes>().columnType('json'),
    version: p.integer(),
    createdAt: p.datetime(3),
    updatedAt: p.datetime(3),
  },
});

export class User extends UserSchema.class {}
UserSchema.setClass(User);
