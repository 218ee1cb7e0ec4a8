/** Rung when a webhook was made, or changed so that there may be something to deliver. */
export const WEBHOOKS = 'webhooks';

/** The kind of the task that pushes one webhook forward. Its dedupe key is the webhook's id. */
export const DELIVER = 'deliver';
/** The kind of the task that sends one test message. */
export const TEST = 'test-webhook';
