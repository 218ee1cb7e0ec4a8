import { Instance } from './db/instance.entity.ts';
import { IdempotencyRecord } from './http/idempotency.entity.ts';
import { User } from './users/user.entity.ts';

/** Every entity of Muster. */
export const entities = [Instance, User, IdempotencyRecord];
