import { integer, sqliteTable, text } from 'drizzle-orm/sqlite-core';
import type { Attributes } from '../api.ts';

export const users = sqliteTable('users', {
  id: integer().primaryKey({ autoIncrement: true }),
  name: text().notNull(),
  nameKey: text('name_key').notNull(),
  email: text().notNull(),
  emailKey: text('email_key').notNull().unique(),
  searchKey: text('search_key').notNull(),
  attributes: text({ mode: 'json' }).$type<Attributes>().notNull(),
  version: integer().notNull(),
  createdAt: integer('created_at', { mode: 'timestamp_ms' }).notNull(),
  updatedAt: integer('updated_at', { mode: 'timestamp_ms' }).notNull(),
});

export const changes = sqliteTable('changes', {
  position: integer().primaryKey({ autoIncrement: true }),
  type: text().notNull(),
  userId: integer('user_id').notNull(),
  version: integer().notNull(),
  state: text({ mode: 'json' }).$type<object>(),
  changedFields: text('changed_fields', { mode: 'json' }).$type<string[]>().notNull(),
  actor: text(),
  at: integer({ mode: 'timestamp_ms' }).notNull(),
});
