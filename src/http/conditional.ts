import type { FastifyRequest } from 'fastify';
import { Malformed, PreconditionFailed } from '../errors.ts';

/** Undefined: not asked for. */
type Tags = '*' | string[] | undefined;

/** What a request's `If-Match` and `If-None-Match` ask for: `*`, or a list of entity tags as they were written. */
export interface Preconditions {
  ifMatch?: Tags;
  ifNoneMatch?: Tags;
}

/** The request headers of a route that serves or changes one thing. */
export const ConditionalHeaders = {
  type: 'object',
  properties: {
    'if-match': {
      type: 'string',
      description:
        '`*`, or a list of entity tags: only if the present `ETag` is one of them, else 412 (RFC 9110 §13.1.1)',
      examples: ['"1"'],
    },
    'if-none-match': {
      type: 'string',
      description:
        '`*`, or a list of entity tags: only if the present `ETag` is none of them, else 304 for a GET ' +
        'and 412 for a change (RFC 9110 §13.1.2)',
      examples: ['"1"'],
    },
  },
} as const;

export const etagHeader = {
  ETag: {
    type: 'string',
    pattern: '^"[^"]+"$',
    required: true,
    description:
      'the strong entity tag of this version, for `If-Match` and `If-None-Match` (RFC 9110 §8.8.3)',
    examples: ['"1"'],
  },
} as const;

/** A user's entity tag is strong: equal versions are equal to the byte. */
export function etagOf({ version }: { version: number }): string {
  return `"${version}"`;
}

/** @throws {Malformed} when a header is not a list of entity tags (RFC 9110 §8.8.3) */
export function readPreconditions(request: FastifyRequest): Preconditions {
  return { ifMatch: readTags(request, 'if-match'), ifNoneMatch: readTags(request, 'if-none-match') };
}

/**
 * Checks the conditions for a method that changes (RFC 9110 §13.2.2): `If-Match` compares strongly, so that a weak tag
 * never matches, `If-None-Match` weakly.
 * @throws {PreconditionFailed}
 */
export function requirePreconditions({ ifMatch, ifNoneMatch }: Preconditions, etag: string): void {
  if (ifMatch !== undefined && ifMatch !== '*' && !ifMatch.includes(etag)) {
    throw versionMismatch(ifMatch, etag);
  }
  if (matchesWeakly(ifNoneMatch, etag)) {
    throw new PreconditionFailed('version-mismatch', `If-None-Match excludes the present ETag, ${etag}.`);
  }
}

export function versionMismatch(ifMatch: readonly string[], etag: string): PreconditionFailed {
  return new PreconditionFailed(
    'version-mismatch',
    `If-Match asks for ${ifMatch.join(', ')}; the present ETag is ${etag}.`,
  );
}

/**
 * For a route whose answers have no entity tag: any that is asked for is not there.
 * @throws {PreconditionFailed} unless `If-Match` is `*`
 */
export function refuseTags(request: FastifyRequest): void {
  const tags = readTags(request, 'if-match');
  if (tags !== undefined && tags !== '*') throw noTags(tags);
}

export function noTags(ifMatch: readonly string[]): PreconditionFailed {
  return new PreconditionFailed(
    'version-mismatch',
    `If-Match asks for ${ifMatch.join(', ')}; nothing has an ETag here.`,
  );
}

/** Whether a GET or HEAD is answered 304, after `If-Match` was checked (RFC 9110 §13.2.2). */
export function isNotModified({ ifMatch, ifNoneMatch }: Preconditions, etag: string): boolean {
  requirePreconditions({ ifMatch }, etag);
  return matchesWeakly(ifNoneMatch, etag);
}

function matchesWeakly(tags: Tags, etag: string): boolean {
  return tags === '*' || (tags?.some((tag) => tag.replace(/^W\//, '') === etag) ?? false);
}

const TAG = '(?:W/)?"[\\x21\\x23-\\x7e\\x80-\\xff]*"';
const TAGS = new RegExp(`^[ \\t,]*${TAG}(?:[ \\t]*,[ \\t,]*${TAG})*[ \\t,]*$`);

function readTags({ headers }: FastifyRequest, name: 'if-match' | 'if-none-match'): Tags {
  const value = headers[name];
  if (value === undefined) return undefined;
  if (value.trim() === '*') return '*';
  if (TAGS.test(value)) return value.match(new RegExp(TAG, 'g')) ?? [];
  throw new Malformed('invalid-header', `The header ${name} cannot be read.`, [
    { in: 'headers', pointer: `#/${name}`, detail: 'must be * or a list of entity tags like "3"' },
  ]);
}
