import { readChanges, readExtent } from '../changes/log.ts';
import { CHANGES } from '../changes/record.ts';
import type { Bell } from '../db/bell.ts';
import { Gone } from '../errors.ts';
import { idSchema } from '../http/schemas.ts';
import { defineTask, PermanentFailure, type TaskContext } from '../tasks/kinds.ts';
import { News } from './news.ts';
import { runRound } from './round.ts';
import type { Sender } from './sender.ts';
import { disable, readTarget, saveSuccess, type Target } from './target.ts';
import { DELIVER } from './topics.ts';

/** Changes that are read at once, and so the furthest that anybody's can be ahead of one that has failed. */
const WINDOW = 100;
/** How long it waits for more before it ends: a steady flow is one task. */
const LINGER_MS = 1000;

export const WebhookInput = {
  type: 'object',
  required: ['webhookId'],
  properties: { webhookId: idSchema('the number of the webhook', 1) },
  additionalProperties: false,
} as const;

/**
 * Pushes one webhook forward until it has had everything. There is at most one such task for a webhook, on any replica:
 * its dedupe key says so, and its lease. Everything that it keeps stands in the webhook's own row, so that a task may
 * end at any moment and another go on.
 */
export function deliverOf(sender: Sender, bell: Bell) {
  return defineTask({
    kind: DELIVER,
    scope: 'webhooks',
    description: 'Sends a webhook what has changed. Muster enqueues it by itself.',
    input: WebhookInput,
    maxAttempts: 1000,
    waits: true,
    async run(context) {
      await requireKey(context);
      const news = new News();
      const off = bell.on(CHANGES, () => news.tell());
      context.signal.addEventListener('abort', () => news.tell());
      try {
        return await deliverAll(context, sender, news);
      } finally {
        off();
      }
    },
  });
}

type Context = TaskContext<{ webhookId: number }>;

/** With another key, or none, there could be two of them at once. */
async function requireKey({ id, input, tasks }: Context): Promise<void> {
  const task = await tasks.watch.find(id);
  if (task?.dedupeKey === String(input.webhookId)) return;
  throw new PermanentFailure('Only Muster enqueues it: see POST /webhooks/{id}/replay.', 'not-enqueued-so');
}

async function deliverAll(context: Context, sender: Sender, news: News): Promise<unknown> {
  const { input, signal, write, tasks } = context;
  /** Up to here there is nothing for the webhook to have. It is kept with the next message, or at the end. */
  let passed = { epoch: -1, position: 0 };
  for (;;) {
    signal.throwIfAborted();
    news.forget();
    const target = await readTarget(tasks.reader, input.webhookId);
    if (target === undefined || target.isDisabled) return undefined;
    const { acknowledged } = target;
    const from = passed.epoch === target.epoch ? Math.max(target.position, passed.position) : target.position;
    const page = await readChanges(tasks.reader, from, WINDOW, target.types).catch((error) => {
      if (!(error instanceof Gone)) throw error;
    });
    if (page === undefined) {
      await giveUp(context, target);
      continue;
    }
    const changes = page.changes.filter(({ position }) => !acknowledged.includes(Number(position)));
    if (changes.length > 0) {
      await runRound(context, sender, target, {
        changes,
        upTo: page.upTo,
        isFull: page.changes.length === WINDOW,
      });
    } else {
      passed = { epoch: target.epoch, position: page.upTo };
      if (page.upTo < page.head || (await news.within(LINGER_MS))) continue;
      if (page.upTo > target.position || target.failures > 0)
        await write((tx) => saveSuccess(tx, target, page.upTo));
      return { position: page.upTo };
    }
  }
}

async function giveUp({ write, tasks }: Context, target: Target): Promise<void> {
  const { keptAfter } = await readExtent(tasks.reader);
  const reason =
    `What follows its position ${target.position} is not kept any more: the log begins after ${keptAfter}. ` +
    'Read GET /users, and replay from its Muster-Position.';
  if (await write((tx) => disable(tx, target, reason))) throw new PermanentFailure(reason, 'position-gone');
}
