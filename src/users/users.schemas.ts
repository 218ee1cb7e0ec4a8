import type { Static } from 'typebox';
import { limitSchema } from '../http/paging.ts';
import { idSchema } from '../http/schemas.ts';

const Name = {
  type: 'string',
  minLength: 1,
  maxLength: 50,
  pattern: '^(?!\\s)[^\\p{Cc}]*(?<!\\s)$',
  description:
    '1–50 characters (code points), none of them a control character, no white space at either end',
  examples: ['Ada Lovelace'],
} as const;

const Email = {
  type: 'string',
  maxLength: 100,
  format: 'idn-email',
  description:
    'an email address of at most 100 characters, internationalised ones (RFC 6531) included; ' +
    'unique regardless of letter case and Unicode form, given back as it was spelled',
  examples: ['ada@example.com'],
} as const;

/** The most that `attributes` may take as JSON, in bytes of UTF-8. */
export const MAX_ATTRIBUTES_BYTES = 16_384;

const Attributes = {
  type: 'object',
  additionalProperties: true,
  'x-maxBytes': MAX_ATTRIBUTES_BYTES,
  description: 'anything else worth knowing, as a JSON object of at most 16 KiB (UTF-8, without spaces)',
  examples: [{ team: 'engines', desk: 12 }],
} as const;

export const UserId = idSchema('the number of a user', 1);

export const exampleUser = {
  id: 1,
  name: 'Ada Lovelace',
  email: 'ada@example.com',
  attributes: { team: 'engines', desk: 12 },
  version: 1,
  createdAt: '2026-01-15T09:30:00.000Z',
  updatedAt: '2026-01-15T09:30:00.000Z',
};

export const User = {
  type: 'object',
  required: ['id', 'name', 'email', 'attributes', 'version', 'createdAt', 'updatedAt'],
  properties: {
    id: UserId,
    name: Name,
    email: Email,
    attributes: Attributes,
    version: {
      type: 'integer',
      minimum: 1,
      description: 'rises by one with each change; the `ETag` is made of it',
      examples: [1],
    },
    createdAt: {
      type: 'string',
      format: 'date-time',
      description: 'when it was created: RFC 3339, UTC, to the millisecond',
      examples: [exampleUser.createdAt],
    },
    updatedAt: {
      type: 'string',
      format: 'date-time',
      description: 'when it was last changed: RFC 3339, UTC, to the millisecond',
      examples: [exampleUser.createdAt],
    },
  },
  $id: 'User',
  additionalProperties: false,
  description: 'A person in the directory.',
  examples: [exampleUser],
} as const;
export type User = Static<typeof User>;

export const NewUser = {
  type: 'object',
  required: ['name', 'email'],
  properties: { name: Name, email: Email, attributes: Attributes },
  $id: 'NewUser',
  additionalProperties: false,
  description: 'A person to be created.',
  examples: [
    { name: 'Ada Lovelace', email: 'ada@example.com', attributes: { team: 'engines', desk: 12 } },
    { name: 'Charles Babbage', email: 'charles@example.com' },
  ],
} as const;
export type NewUser = Static<typeof NewUser>;

export const UserPatch = {
  type: 'object',
  properties: {
    name: Name,
    email: Email,
    attributes: {
      type: ['object', 'null'],
      additionalProperties: true,
      description:
        'merged into the present attributes, member by member; `null` removes a member, or all of them',
      examples: [{ team: 'analysis', desk: null }],
    },
  },
  $id: 'UserPatch',
  additionalProperties: false,
  description: 'A JSON Merge Patch (RFC 7396) for a user: what is not named stays as it is.',
  examples: [{ name: 'Ada King', attributes: { team: 'analysis', desk: null } }],
} as const;
/** Where `additionalProperties` stands beside `type`, `Static` forgets the `null`. */
export type UserPatch = Omit<Static<typeof UserPatch>, 'attributes'> & {
  attributes?: Record<string, unknown> | null;
};

const SORTS = ['id', '-id', 'name', '-name', 'email', '-email', 'createdAt', '-createdAt'] as const;

export const UserFilter = {
  email: {
    ...Email,
    description: 'only the user with this email, regardless of letter case and Unicode form',
  },
  name: {
    ...Name,
    description: 'only users with this whole name, regardless of letter case and Unicode form',
  },
  q: {
    type: 'string',
    minLength: 3,
    maxLength: 100,
    pattern: '^[^\\p{Cc}]*$',
    description:
      'only users in whose name or email this stands, in any part, regardless of letter case and Unicode form; at least 3 characters',
    examples: ['love'],
  },
} as const;

export const ListUsersQuery = {
  type: 'object',
  required: ['limit', 'sort'], // each has a default
  properties: {
    limit: limitSchema('the most users on a page, 1–1000'),
    after: {
      type: 'string',
      minLength: 1,
      maxLength: 1000,
      description: 'the cursor of the page before, from its `Link` header; it fits that sort and filter only',
      examples: ['WyJudmdoRkZybSIsMiwyXQ'],
    },
    sort: {
      type: 'string',
      enum: SORTS,
      default: 'id',
      description:
        'what to sort by, `-` before it for descending; names and emails by code point, regardless of letter case',
      examples: ['-createdAt'],
    },
    ...UserFilter,
  },
  additionalProperties: false,
} as const;
export type ListUsersQuery = Static<typeof ListUsersQuery>;
