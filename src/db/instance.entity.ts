import { defineEntity, p } from '@mikro-orm/core';

/** One row that says which directory this database holds, so that a file put in another's place is noticed. */
const InstanceSchema = defineEntity({
  name: 'Instance',
  tableName: 'instance',
  properties: {
    id: p.text().primary(),
    createdAt: p.datetime(3),
  },
});

export class Instance extends InstanceSchema.class {}
InstanceSchema.setClass(Instance);
