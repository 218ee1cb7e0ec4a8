import { defineEntity, p } from '@mikro-orm/core';

export const CHANGE_TYPES = ['user.created', 'user.updated', 'user.deleted', 'user.erased'] as const;
export type ChangeType = (typeof CHANGE_TYPES)[number];

/**
 * What happened to one user. `state` is the user afterwards, as JSON; null when there is none any more, and in every
 * change of a user who was erased. Each version of each user is here once: `user_id, version` is also the way along
 * which a history is read.
 */
const ChangeSchema = defineEntity({
  name: 'Change',
  tableName: 'changes',
  uniques: [{ name: 'changes_user_id_version', properties: ['userId', 'version'] }],
  properties: {
    position: p.bigint('number').primary().ignoreSchemaChanges('type'), // SQLite's integer holds 64 bits
    type: p.text().$type<ChangeType>(),
    userId: p.integer(),
    version: p.integer(),
    state: p.json<unknown>().columnType('json').nullable(),
    changedFields: p.json<string[]>().columnType('json'),
    actor: p.text().nullable(),
    at: p.datetime(3),
  },
});

export class Change extends ChangeSchema.class {}
ChangeSchema.setClass(Change);

/** One row: what is known of the log as a whole. */
const ChangeLogSchema = defineEntity({
  name: 'ChangeLog',
  tableName: 'change_log',
  properties: {
    id: p.integer().primary().autoincrement(false),
    /** Changes up to this position have been pruned; 0 when none has. */
    keptAfter: p.bigint('number').ignoreSchemaChanges('type'),
    /** Names this life of the log; empty until a service has started on it. */
    epoch: p.text().default(''),
  },
});

export class ChangeLog extends ChangeLogSchema.class {}
ChangeLogSchema.setClass(ChangeLog);
