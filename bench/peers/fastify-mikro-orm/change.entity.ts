import { defineEntity, p } from '@mikro-orm/core';

/** The log, which only an import writes. */
const ChangeSchema = defineEntity({
  name: 'Change',
  tableName: 'changes',
  properties: {
    position: p.bigint('number').primary(),
    type: p.text(),
    userId: p.integer(),
    version: p.integer(),
    state: p.json<object>().columnType('json').nullable(),
    changedFields: p.json<string[]>().columnType('json'),
    actor: p.text().nullable(),
    at: p.datetime(3),
  },
});

export class Change extends ChangeSchema.class {}
ChangeSchema.setClass(Change);
