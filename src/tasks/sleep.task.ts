import { setTimeout as wait } from 'node:timers/promises';
import { Type } from 'typebox';
import { defineTask } from './kinds.ts';

/** What the tutorial starts: it waits, and says so in the log. */
export const sleep = defineTask({
  kind: 'sleep',
  description: 'Waits, and then logs `Background task completed`.',
  input: Type.Object(
    {
      ms: Type.Integer({
        minimum: 0,
        maximum: 86_400_000,
        description: 'how long, in milliseconds: a day at most',
        examples: [5000],
      }),
    },
    { additionalProperties: false },
  ),
  async run({ input, signal, log }) {
    await wait(input.ms, undefined, { signal });
    log.info('Background task completed');
  },
});
