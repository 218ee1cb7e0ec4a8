import { type ChangeRow, readChange } from '../changes/log.ts';
import { Aborted, PermanentFailure, RetryLater, type TaskContext } from '../tasks/kinds.ts';
import { saveAttempts } from './deliveries.ts';
import { messageOf } from './message.ts';
import { GIVE_UP_MS, retryAfterMs } from './retries.ts';
import type { Outcome, Sender } from './sender.ts';
import {
  type Attempt,
  disable,
  type Reached,
  saveFailing,
  saveReached,
  saveSuccess,
  type Target,
} from './target.ts';

/** Users whose changes are on their way at once. */
const CHAINS_AT_ONCE = 10;

/** Changes that a webhook has not acknowledged, in order; those of its types between them, up to `upTo`, it has. */
interface Window {
  changes: readonly ChangeRow[];
  upTo: number;
  /** Nothing beyond it is read before something of it has been acknowledged. */
  isFull: boolean;
}

/**
 * Sends the changes of a window: each user's one after the other, many users' at once. A change that is refused holds up
 * the later ones of its user only; a receiver that does not answer, or asks to be left alone, is asked no more.
 * @throws {RetryLater} after a failure
 * @throws {PermanentFailure} when the webhook was disabled for it
 */
export async function runRound(
  { write, signal, tasks }: TaskContext<unknown>,
  sender: Sender,
  target: Target,
  { changes, upTo, isFull }: Window,
): Promise<void> {
  const held = heldUsers(target, changes);
  const stop = lastMoment(signal, sender.lastMs);
  const acknowledged = new Set(target.acknowledged);
  const failures: Outcome[] = [];
  let isOver = false;
  let unsaved: Attempt[] = [];
  let saved = Promise.resolve();
  /** While one transaction is on its way, the next one's attempts gather. */
  const keep = (attempt: Attempt) => {
    unsaved.push(attempt);
    saved = saved.then(async () => {
      if (unsaved.length === 0) return;
      const attempts = unsaved;
      unsaved = [];
      const reached = reachedBy(changes, acknowledged, upTo);
      const isCurrent = await write(async (tx) => {
        const isThere = await saveReached(tx, target, reached);
        if (isThere) await saveAttempts(tx, target.id, attempts);
        return isThere;
      });
      if (!isCurrent) isOver = true;
    });
    saved.catch(() => {
      isOver = true; // it is thrown below
    });
  };
  const deliverChain = async (chain: readonly ChangeRow[]) => {
    for (const { position } of chain) {
      if (isOver || signal.aborted) return;
      // A slow receiver takes minutes for a window, and its user may have been erased since that was read.
      const change = await readChange(tasks.reader, position);
      if (change === undefined) {
        isOver = true; // pruned: that is seen when the log is read again
        return;
      }
      const message = messageOf(target.id, change);
      const at = new Date();
      const outcome = await sender.send(target.url, target.secrets, message, stop);
      if (outcome.error === null) acknowledged.add(Number(position));
      else failures.push(outcome);
      if (isUnavailable(outcome)) isOver = true;
      keep({ message, at, outcome });
      if (outcome.error !== null) return;
    }
  };
  const due = changes.filter(({ user_id }) => !held.has(user_id));
  const chains = Map.groupBy(due, ({ user_id }) => user_id).values();
  // A receiver that was not there is asked cautiously.
  const atOnce = target.failures > 0 && target.triedUpTo === undefined ? 1 : CHAINS_AT_ONCE;
  const lanes = Array.from({ length: atOnce }, async () => {
    for (const chain of chains) await deliverChain(chain);
  });
  const ends = await Promise.allSettled(lanes);
  await saved;
  for (const end of ends) if (end.status === 'rejected') throw end.reason;
  signal.throwIfAborted(); // the lanes have ended early
  const triedUpTo = isFull || failures.some(isUnavailable) ? null : upTo;
  if (failures.length > 0 || held.size > 0)
    await fail(write, target, failures, { triedUpTo, isHolding: held.size > 0 });
  else if (target.failures > 0 && !isOver) await write((tx) => saveSuccess(tx, target, upTo));
}

function msUntil(time: Date | undefined): number {
  return time === undefined ? 0 : Math.max(0, time.getTime() - Date.now());
}

/** Before it is time to try again what was refused, new changes of other users have woken the delivery. */
function heldUsers({ retryAt, triedUpTo }: Target, changes: readonly ChangeRow[]): Set<number> {
  if (triedUpTo === undefined || msUntil(retryAt) === 0) return new Set();
  const tried = changes.filter(({ position }) => Number(position) <= triedUpTo);
  return new Set(tried.map(({ user_id }) => user_id));
}

/** Not this message, but the receiver: it is down, overloaded, or gone. */
function isUnavailable({ status, error, askedMs }: Outcome): boolean {
  if (error === null) return false;
  return status === null || askedMs !== undefined || [410, 429, 502, 503, 504].includes(status);
}

function reachedBy(changes: readonly ChangeRow[], acknowledged: Set<number>, upTo: number): Reached {
  const first = changes.find((change) => !acknowledged.has(Number(change.position)));
  if (first === undefined) return { position: upTo, acknowledged: [] };
  const position = Number(first.position) - 1;
  return { position, acknowledged: [...acknowledged].filter((one) => one > position) };
}

async function fail(
  write: TaskContext['write'],
  target: Target,
  failures: readonly Outcome[],
  { triedUpTo, isHolding }: { triedUpTo: number | null; isHolding: boolean },
): Promise<void> {
  const gone = failures.find(({ status }) => status === 410);
  const error = (gone ?? failures[0])?.error ?? target.lastError;
  const since = target.failingSince ?? new Date();
  const hasFailedLong = failures.length > 0 && Date.now() - since.getTime() >= GIVE_UP_MS;
  // When what is held is to be tried again stays as it is.
  const isEarly = isHolding && !failures.some(isUnavailable);
  const askedMs = Math.max(0, ...failures.map((one) => one.askedMs ?? 0));
  const afterMs = isEarly ? msUntil(target.retryAt) : retryAfterMs(target.failures, askedMs);
  const reason = gone ? error : hasFailedLong ? `It has failed for three days. ${error}` : undefined;
  const isCurrent = await write(async (tx) => {
    const failing = {
      failures: target.failures + (isEarly ? 0 : 1),
      since,
      error,
      retryAt: new Date(Date.now() + afterMs),
      triedUpTo,
    };
    const isThere = await saveFailing(tx, target, failing);
    if (isThere && reason !== undefined) await disable(tx, target, reason);
    return isThere;
  });
  // Enabled or set to another URL or position meanwhile, it begins anew.
  if (!isCurrent) return;
  if (reason !== undefined) throw new PermanentFailure(`Webhook ${target.id} is disabled. ${reason}`);
  throw new RetryLater(afterMs, error);
}

/** Aborted when the attempt is to end; a little later when that is for a shutdown. */
function lastMoment(signal: AbortSignal, lastMs: number): AbortSignal {
  const controller = new AbortController();
  const abort = () => controller.abort(signal.reason);
  signal.addEventListener('abort', () => {
    const { reason } = signal;
    if (reason instanceof Aborted && reason.why === 'shutdown') setTimeout(abort, lastMs).unref();
    else abort();
  });
  return controller.signal;
}
