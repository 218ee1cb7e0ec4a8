import { PermanentFailure } from './kinds.ts';
import type { TaskError } from './task.entity.ts';

const FIRST_MS = 1000;
const LONGEST_MS = 300_000;

/** Doubles with each attempt to five minutes; ± 20 %, so that what failed together does not come back together. */
export function backoffMs(attempt: number): number {
  const ms = Math.min(FIRST_MS * 2 ** (attempt - 1), LONGEST_MS);
  return Math.round(ms * (0.8 + 0.4 * Math.random()));
}

const LONGEST_MESSAGE = 1000;

/** What is shown of an error. One of the database carries the statement with the values in it, so only its cause is told. */
export function errorOf(error: unknown): TaskError {
  if (!(error instanceof Error)) return { message: String(error).slice(0, LONGEST_MESSAGE) };
  const isDatabase = 'sqlMessage' in error || /Exception$/.test(error.name);
  const told = isDatabase && error.cause instanceof Error ? error.cause.message : error.message;
  const message = isDatabase && !(error.cause instanceof Error) ? 'A statement failed.' : told || error.name;
  const code = 'code' in error && typeof error.code === 'string' ? error.code : undefined;
  return { message: message.slice(0, LONGEST_MESSAGE).toWellFormed(), ...(code !== undefined && { code }) };
}

const MAX_RESULT_BYTES = 1_048_576;

/**
 * What a function gave, as JSON; undefined and null are none. `unlimited`: of a task that gathers the results of others.
 * @throws {PermanentFailure} for what is no JSON or too large: another attempt would give the same
 */
export function resultJson(result: unknown, unlimited: boolean): string | undefined {
  let json: string | undefined;
  try {
    json = JSON.stringify(result ?? undefined);
  } catch (cause) {
    throw new PermanentFailure('The result is not JSON.', 'result-not-json', { cause });
  }
  const bytes = json === undefined ? 0 : Buffer.byteLength(json);
  if (bytes > MAX_RESULT_BYTES && !unlimited) {
    throw new PermanentFailure(
      `The result takes ${bytes} bytes, at most ${MAX_RESULT_BYTES} are allowed.`,
      'result-too-large',
    );
  }
  return json;
}
