import { Change, ChangeLog } from './changes/change.entity.ts';
import { Instance } from './db/instance.entity.ts';
import { IdempotencyRecord } from './http/idempotency.entity.ts';
import { ApiKey } from './keys/api-key.entity.ts';
import { Schedule } from './tasks/schedule.entity.ts';
import { Task } from './tasks/task.entity.ts';
import { User } from './users/user.entity.ts';
import { Delivery, Webhook } from './webhooks/webhook.entity.ts';

/** Every entity of Muster. */
export const entities = [
  Instance,
  User,
  Change,
  ChangeLog,
  IdempotencyRecord,
  Task,
  Schedule,
  Webhook,
  Delivery,
  ApiKey,
];
