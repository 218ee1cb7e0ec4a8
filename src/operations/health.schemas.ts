import { ref, textSchema } from '../http/schemas.ts';

const ok = { status: 'ok' };
const good = { service: ok, database: ok, migrations: ok, disk: ok, runner: ok };

export const HealthCheck = {
  type: 'object',
  required: ['status'],
  properties: {
    status: { type: 'string', enum: ['ok', 'failed'], description: 'whether it holds', examples: ['ok'] },
    detail: textSchema('what is wrong, for people', 'gave no answer within a second'),
  },
  $id: 'HealthCheck',
  additionalProperties: false,
  description: 'One thing that a replica needs in order to serve.',
  examples: [ok],
} as const;

export const Health = {
  type: 'object',
  required: ['status', 'checks'],
  properties: {
    status: { type: 'string', enum: ['ok'], description: 'all is well', examples: ['ok'] },
    checks: {
      type: 'object',
      additionalProperties: ref(HealthCheck),
      description: 'every check by its name',
      examples: [good],
    },
  },
  $id: 'Health',
  additionalProperties: false,
  description: 'What a replica says of itself.',
  examples: [{ status: 'ok', checks: good }],
} as const;
