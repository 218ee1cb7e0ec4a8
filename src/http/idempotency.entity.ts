import { defineEntity, p } from '@mikro-orm/core';

/** What a POST with an `Idempotency-Key` answered, kept so that a repetition gets the same answer. */
const IdempotencyRecordSchema = defineEntity({
  name: 'IdempotencyRecord',
  tableName: 'idempotency_records',
  properties: {
    /** A hash of the client and its key. */
    key: p.text().primary(),
    /** SHA-256 of method, route and body: the same key with anything else is refused. Empty: with anything at all. */
    fingerprint: p.text(),
    /** `{status, headers, body}`; null inside the transaction that is creating it, and when whom it shows was erased. */
    answer: p.json<StoredAnswer>().columnType('json').nullable(),
    createdAt: p.datetime(3).index('idempotency_records_created_at'),
  },
});

export interface StoredAnswer {
  status: number;
  headers: Record<string, string>;
  body: unknown;
}

export class IdempotencyRecord extends IdempotencyRecordSchema.class {}
IdempotencyRecordSchema.setClass(IdempotencyRecord);
