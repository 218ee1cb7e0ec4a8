/** What the bell is rung for. */

/** A task waits for a runner. */
export const QUEUED = 'tasks.queued';
/** A task will wait for a runner at a time that may be sooner than all others. */
export const SCHEDULED = 'tasks.scheduled';
/** A running task shall be cancelled. */
export const CANCEL = 'tasks.cancel';
/** A task has changed in a way that one may watch. */
export const CHANGED = 'tasks.changed';
