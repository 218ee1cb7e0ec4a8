import { defineTask, PermanentFailure } from '../tasks/kinds.ts';
import { WebhookInput } from './deliver.task.ts';
import { saveAttempts } from './deliveries.ts';
import { testMessage } from './message.ts';
import type { Sender } from './sender.ts';
import { readTarget } from './target.ts';
import { TEST } from './topics.ts';

/** Sends one message that is no change, to an enabled webhook or to one that is not. It is not tried again. */
export function testOf(sender: Sender) {
  return defineTask({
    kind: TEST,
    scope: 'webhooks',
    description: 'Sends a webhook a message of the type `webhook.test`.',
    input: WebhookInput,
    maxAttempts: 1,
    waits: true,
    async run({ id, input: { webhookId }, write, signal, tasks }) {
      const target = await readTarget(tasks.reader, webhookId);
      if (target === undefined) throw new PermanentFailure(`There is no webhook ${webhookId}.`);
      const at = new Date();
      const message = testMessage(webhookId, id, at);
      const outcome = await sender.send(target.url, target.secrets, message, signal);
      await write((tx) => saveAttempts(tx, webhookId, [{ message, at, outcome }]));
      const { status, ms, error } = outcome;
      if (error !== null) throw new PermanentFailure(error);
      return { status, ms };
    },
  });
}
