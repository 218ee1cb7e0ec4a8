import { PermanentFailure } from './kinds.ts';
import type { TaskError } from './tasks.schemas.ts';

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
  if (!(error instanceof Error)) return { message: shown(String(error)) };
  const isDatabase = 'sqlMessage' in error || /Exception$/.test(error.name);
  const told = isDatabase && error.cause instanceof Error ? error.cause.message : error.message;
  const message = isDatabase && !(error.cause instanceof Error) ? 'A statement failed.' : told || error.name;
  const code = 'code' in error && typeof error.code === 'string' ? error.code : undefined;
  return { message: shown(message), ...(code !== undefined && { code: shown(code) }) };
}

/** No database keeps NUL, nor PostgreSQL half a surrogate pair. */
function shown(text: string): string {
  return text.slice(0, LONGEST_MESSAGE).replaceAll('\0', '\uFFFD').toWellFormed();
}

const MAX_RESULT_BYTES = 1_048_576;
/** Objects and arrays within one another; SQLite reads no JSON deeper than a thousand. */
const MAX_DEPTH = 100;
/** An escape that stands for NUL or for half a surrogate pair, and not for the text of one. */
const UNKEPT = /(?<!\\)(?:\\\\)*\\u(?:0000|d[89a-f][0-9a-f]{2})/i;

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
  if (json !== undefined && UNKEPT.test(json)) {
    throw new PermanentFailure(
      'The result holds NUL or half a surrogate pair, which no database keeps.',
      'result-not-kept',
    );
  }
  if (isDeeper(result, MAX_DEPTH)) {
    throw new PermanentFailure(`The result is nested deeper than ${MAX_DEPTH}.`, 'result-too-deep');
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

function isDeeper(value: unknown, most: number): boolean {
  if (typeof value !== 'object' || value === null) return false;
  return most === 0 || Object.values(value).some((member) => isDeeper(member, most - 1));
}
