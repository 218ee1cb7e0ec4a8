import { setTimeout as wait } from 'node:timers/promises';
import { defineTask } from './kinds.ts';

/** What the tutorial starts: it waits, and says so in the log. */
export const sleep = defineTask({
  kind: 'sleep',
  description: 'Waits, and then logs `Background task completed`.',
  input: {
    type: 'object',
    required: ['ms'],
    properties: {
      ms: {
        type: 'integer',
        minimum: 0,
        maximum: 86_400_000,
        description: 'how long, in milliseconds: a day at most',
        examples: [5000],
      },
    },
    additionalProperties: false,
  },
  async run(context) {
    await wait(context.input.ms, undefined, { signal: context.signal });
    context.log.info('Background task completed');
  },
});
