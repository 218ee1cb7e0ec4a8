import { EntitySchema, type ValueTransformer } from 'typeorm';
import type { Attributes } from '../api.ts';
import { environment } from '../environment.ts';

export class User {
  declare id: number;
  declare name: string;
  declare nameKey: string;
  declare email: string;
  declare emailKey: string;
  declare searchKey: string;
  declare attributes: Attributes;
  declare version: number;
  declare createdAt: Date;
  declare updatedAt: Date;
}

const onSqlite = environment.dialect === 'sqlite';
const json = onSqlite ? 'simple-json' : 'json';

/** On SQLite dates are milliseconds since 1970, as the table has them. */
const milliseconds: ValueTransformer = {
  to: (date: Date) => date.getTime(),
  from: (value: number) => new Date(value),
};

const date = (name: string) =>
  onSqlite
    ? ({ name, type: 'integer', transformer: milliseconds } as const)
    : ({ name, type: 'timestamptz', precision: 3 } as const);

export const UserSchema = new EntitySchema<User>({
  name: 'User',
  tableName: 'users',
  target: User,
  columns: {
    id: { type: 'integer', primary: true, generated: 'increment' },
    name: { type: 'text' },
    nameKey: { name: 'name_key', type: 'text', select: false },
    email: { type: 'text' },
    emailKey: { name: 'email_key', type: 'text', unique: true, select: false },
    searchKey: { name: 'search_key', type: 'text', select: false },
    attributes: { type: json },
    version: { type: 'integer' },
    createdAt: date('created_at'),
    updatedAt: date('updated_at'),
  },
});

/** The log, which only an import writes. */
export class Change {
  declare position: number;
  declare type: string;
  declare userId: number;
  declare version: number;
  declare state: object | null;
  declare changedFields: string[];
  declare actor: string | null;
  declare at: Date;
}

export const ChangeSchema = new EntitySchema<Change>({
  name: 'Change',
  tableName: 'changes',
  target: Change,
  columns: {
    position: { type: onSqlite ? 'integer' : 'bigint', primary: true, generated: 'increment' },
    type: { type: 'text' },
    userId: { name: 'user_id', type: 'integer' },
    version: { type: 'integer' },
    state: { type: json, nullable: true },
    changedFields: { name: 'changed_fields', type: json },
    actor: { type: 'text', nullable: true },
    at: date('at'),
  },
});
