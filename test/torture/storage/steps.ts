import { setTimeout as wait } from 'node:timers/promises';
import { defineTask } from '../../../src/tasks/kinds.ts';
import { createUser } from '../../../src/users/users.ts';

/** Creates three users, each in the transaction of its checkpoint, after a pause: one that was done twice would be refused, and fail. */
export const steps = defineTask({
  kind: 'steps',
  description: 'Three steps.',
  input: {
    type: 'object',
    required: ['name'],
    properties: { name: { type: 'string' }, pauseMs: { type: 'integer' } },
  },
  maxAttempts: 1000,
  async run({ input, checkpoint, save, signal }) {
    for (let step = Number(checkpoint ?? 0); step < 3; step++) {
      if (input.pauseMs !== undefined) await wait(input.pauseMs, undefined, { signal });
      await save(async (tx) => {
        const name = `${input.name}-${step}`;
        await createUser(tx, { name, email: `${name}@example.com` });
        return step + 1;
      });
    }
  },
});
