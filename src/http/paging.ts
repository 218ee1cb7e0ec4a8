import { hash } from 'node:crypto';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { readJson } from '../db/json.ts';
import { Malformed } from '../errors.ts';

/**
 * A cursor is the last row of a page: the values it is sorted by, and a fingerprint of the list it belongs to. With
 * another sort or filter it would point nowhere, so it is refused there. Rows before it may come and go; a row that
 * stays is seen once.
 */
export type CursorValues = readonly (string | number)[];

export function writeCursor(list: unknown, values: CursorValues): string {
  return Buffer.from(JSON.stringify([fingerprint(list), ...values])).toString('base64url');
}

/**
 * `like` tells the types of the values that a cursor of this list has.
 * @throws {Malformed} when it is no cursor, or one of another list
 */
export function readCursor<T extends CursorValues>(list: unknown, cursor: string, like: T): T {
  const [of, ...values] = decode(cursor);
  const isSame = values.length === like.length && values.every((one, at) => typeof one === typeof like[at]);
  if (of !== undefined && of !== fingerprint(list))
    throw badCursor('belongs to a list with another sort or filter');
  if (of === undefined || !isSame || !values.every(isSound))
    throw badCursor('is not one that a Link header gave');
  return values as unknown as T;
}

/** RFC 8288: `Link: <…>; rel="next"`. A list without it is at its end. */
export function linkNext(request: FastifyRequest, reply: FastifyReply, cursor: string): void {
  const [path, query = ''] = request.url.split('?');
  const parameters = new URLSearchParams(query);
  parameters.set('after', cursor);
  reply.header('link', `<${path}?${parameters}>; rel="next"`);
}

/** The parameter that says how long a page may be. */
export function limitSchema(description: string) {
  return {
    type: 'integer',
    minimum: 1,
    maximum: 1000,
    default: 100,
    description,
    examples: [2],
  } as const;
}

export const linkHeader = {
  Link: {
    type: 'string',
    description: 'where the next page is, as `<…>; rel="next"` (RFC 8288); absent on the last page',
    examples: ['</users?limit=2&after=WyJudmdoRkZybSIsMiwyXQ>; rel="next"'],
  },
} as const;

function decode(cursor: string): unknown[] {
  try {
    const values: unknown = readJson(Buffer.from(cursor, 'base64url').toString('utf8'));
    return Array.isArray(values) ? values : [];
  } catch {
    return [];
  }
}

/** The last millisecond of the year 9999, which both databases can compare a time with; ids are far below. */
const LARGEST = 253_402_300_799_999;

/** A forged value must not reach the database, which would answer with an error of its own. */
function isSound(value: unknown): boolean {
  if (typeof value === 'string') return value.isWellFormed() && !value.includes('\0');
  return Number.isSafeInteger(value) && Number(value) >= 0 && Number(value) <= LARGEST;
}

function fingerprint(list: unknown): string {
  return hash('sha256', JSON.stringify(list), 'base64url').slice(0, 8);
}

export function badCursor(detail: string): Malformed {
  return new Malformed('invalid-cursor', 'The cursor cannot be used.', [
    { in: 'query', pointer: '#/after', detail },
  ]);
}
