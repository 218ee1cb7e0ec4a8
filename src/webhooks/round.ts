import type { ChangeRow } from '../changes/log.ts';
import { Aborted, PermanentFailure, RetryLater, type TaskContext } from '../tasks/kinds.ts';
import { saveAttempts } from './deliveries.ts';
import { messageOf } from './message.ts';
import { GIVE_UP_MS, retryAfterMs } from './retries.ts';
import type { Outcome, Sender } from './sender.ts';
import { type Attempt, type Reached, saveFailure, saveReached, saveSuccess, type Target } from './target.ts';

/** Users whose changes are on their way at once. */
const CHAINS_AT_ONCE = 10;
/** What is on its way when the service stops may still arrive: else it would be sent again. */
const LAST_MS = 1000;

/** Changes that a webhook has not acknowledged, in order; those of its types between them, up to `upTo`, it has. */
interface Window {
  changes: readonly ChangeRow[];
  upTo: number;
}

/**
 * Sends the changes of a window: each user's one after the other, many users' at once. A change that is refused holds up
 * the later ones of its user only; a receiver that does not answer, or asks to be left alone, is asked no more.
 * @throws {RetryLater} after a failure
 * @throws {PermanentFailure} when the webhook was disabled for it
 */
export async function runRound(
  { write, signal }: TaskContext<unknown>,
  sender: Sender,
  target: Target,
  { changes, upTo }: Window,
): Promise<void> {
  const stop = lastMoment(signal);
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
    for (const change of chain) {
      if (isOver || signal.aborted) return;
      const message = messageOf(target.id, change);
      const at = new Date();
      const outcome = await sender.send(target.url, target.secrets, message, stop);
      if (outcome.error === null) acknowledged.add(Number(change.position));
      else failures.push(outcome);
      if (isUnavailable(outcome)) isOver = true;
      keep({ message, at, outcome });
      if (outcome.error !== null) return;
    }
  };
  const chains = Map.groupBy(changes, ({ user_id }) => user_id).values();
  // One that has failed is asked cautiously.
  const atOnce = target.failures > 0 ? 1 : CHAINS_AT_ONCE;
  const lanes = Array.from({ length: atOnce }, async () => {
    for (const chain of chains) await deliverChain(chain);
  });
  const ends = await Promise.allSettled(lanes);
  await saved;
  for (const end of ends) if (end.status === 'rejected') throw end.reason;
  if (failures.length > 0) await fail(write, target, failures);
  else if (target.failures > 0 && !isOver) await write((tx) => saveSuccess(tx, target));
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
): Promise<void> {
  const gone = failures.find(({ status }) => status === 410);
  const error = (gone ?? failures[0])?.error ?? '';
  const since = target.failingSince ?? new Date();
  const hasFailedLong = Date.now() - since.getTime() >= GIVE_UP_MS;
  const reason = gone ? error : hasFailedLong ? `It has failed for three days. ${error}` : undefined;
  // Enabled or set to another URL or position meanwhile, it begins anew.
  if (!(await write((tx) => saveFailure(tx, target, { error, since, reason })))) return;
  if (reason !== undefined) throw new PermanentFailure(`Webhook ${target.id} is disabled. ${reason}`);
  const askedMs = Math.max(...failures.map((one) => one.askedMs ?? 0));
  throw new RetryLater(retryAfterMs(target.failures, askedMs), error);
}

/** Aborted when the attempt is to end; a little later when that is for a shutdown. */
function lastMoment(signal: AbortSignal): AbortSignal {
  const controller = new AbortController();
  const abort = () => {
    const { reason } = signal;
    if (reason instanceof Aborted && reason.why === 'shutdown')
      setTimeout(() => controller.abort(reason), LAST_MS).unref();
    else controller.abort(reason);
  };
  if (signal.aborted) abort();
  else signal.addEventListener('abort', abort, { once: true });
  return controller.signal;
}
