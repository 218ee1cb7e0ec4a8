import { bigserial, integer, json, pgTable, serial, text, timestamp } from 'drizzle-orm/pg-core';
import type { Attributes } from '../api.ts';

export const users = pgTable('users', {
  id: serial().primaryKey(),
  name: text().notNull(),
  nameKey: text('name_key').notNull(),
  email: text().notNull(),
  emailKey: text('email_key').notNull().unique(),
  searchKey: text('search_key').notNull(),
  attributes: json().$type<Attributes>().notNull(),
  version: integer().notNull(),
  createdAt: timestamp('created_at', { withTimezone: true, precision: 3 }).notNull(),
  updatedAt: timestamp('updated_at', { withTimezone: true, precision: 3 }).notNull(),
});

export const changes = pgTable('changes', {
  position: bigserial({ mode: 'number' }).primaryKey(),
  type: text().notNull(),
  userId: integer('user_id').notNull(),
  version: integer().notNull(),
  state: json().$type<object>(),
  changedFields: json('changed_fields').$type<string[]>().notNull(),
  actor: text(),
  at: timestamp({ withTimezone: true, precision: 3 }).notNull(),
});
