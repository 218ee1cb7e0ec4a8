import { defineEntity, p } from '@mikro-orm/core';
import type { Attributes } from '../api.ts';

const UserSchema = defineEntity({
  name: 'User',
  tableName: 'users',
  properties: {
    id: p.integer().primary(),
    name: p.text(),
    nameKey: p.text(),
    email: p.text(),
    emailKey: p.text().unique(),
    searchKey: p.text(),
    attributes: p.json<Attributes>().columnType('json'),
    version: p.integer(),
    createdAt: p.datetime(3),
    updatedAt: p.datetime(3),
  },
});

export class User extends UserSchema.class {}
UserSchema.setClass(User);
