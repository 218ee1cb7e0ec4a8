import { type Static, Type } from 'typebox';
import type { Attributes as AttributeValues } from './user.entity.ts';

const Name = Type.String({
  minLength: 1,
  maxLength: 50,
  pattern: '^(?!\\s)[^\\p{Cc}]*(?<!\\s)$',
  description:
    '1–50 characters (code points), none of them a control character, no white space at either end',
  examples: ['Ada Lovelace'],
});

const Email = Type.String({
  maxLength: 100,
  format: 'idn-email',
  description:
    'an email address of at most 100 characters, internationalised ones (RFC 6531) included; ' +
    'unique regardless of letter case and Unicode form, given back as it was spelled',
  examples: ['ada@example.com'],
});

/** The most that `attributes` may take as JSON, in bytes of UTF-8. */
export const MAX_ATTRIBUTES_BYTES = 16_384;

const Attributes = Type.Unsafe<AttributeValues>({
  type: 'object',
  additionalProperties: true,
  'x-maxBytes': MAX_ATTRIBUTES_BYTES,
  description: 'anything else worth knowing, as a JSON object of at most 16 KiB (UTF-8, without spaces)',
  examples: [{ team: 'engines' }],
});

export const UserId = Type.Integer({
  minimum: 1,
  maximum: Number.MAX_SAFE_INTEGER,
  description: 'the number of a user',
  examples: [7],
});

export const User = Type.Object(
  {
    id: UserId,
    name: Name,
    email: Email,
    attributes: Attributes,
    version: Type.Integer({
      minimum: 1,
      description: 'rises by one with each change; the `ETag` is made of it',
      examples: [1],
    }),
    createdAt: Type.Unsafe<Date>({ type: 'string', format: 'date-time', description: 'RFC 3339, UTC' }),
    updatedAt: Type.Unsafe<Date>({ type: 'string', format: 'date-time', description: 'RFC 3339, UTC' }),
  },
  { $id: 'User', additionalProperties: false, description: 'A person in the directory.' },
);
export type User = Static<typeof User>;

export const NewUser = Type.Object(
  { name: Name, email: Email, attributes: Type.Optional(Attributes) },
  { $id: 'NewUser', additionalProperties: false, description: 'A person to be created.' },
);
export type NewUser = Static<typeof NewUser>;

export const UserPatch = Type.Object(
  {
    name: Type.Optional(Name),
    email: Type.Optional(Email),
    attributes: Type.Optional(
      Type.Unsafe<AttributeValues | null>({
        type: ['object', 'null'],
        additionalProperties: true,
        description:
          'merged into the present attributes, member by member; `null` removes a member, or all of them',
        examples: [{ team: 'engines', desk: null }],
      }),
    ),
  },
  { $id: 'UserPatch', additionalProperties: false, description: 'A JSON Merge Patch (RFC 7396) for a user.' },
);
export type UserPatch = Static<typeof UserPatch>;

const SORTS = ['id', '-id', 'name', '-name', 'email', '-email', 'createdAt', '-createdAt'] as const;
export type UserSort = (typeof SORTS)[number];

export const UserFilter = {
  email: Type.Optional(
    Type.String({
      ...Email,
      description: 'only the user with this email, regardless of letter case and Unicode form',
    }),
  ),
  name: Type.Optional(
    Type.String({
      ...Name,
      description: 'only users with this whole name, regardless of letter case and Unicode form',
    }),
  ),
  q: Type.Optional(
    Type.String({
      minLength: 3,
      maxLength: 100,
      pattern: '^[^\\p{Cc}]*$',
      description:
        'only users in whose name or email this stands, in any part, regardless of letter case and Unicode form; at least 3 characters',
      examples: ['love'],
    }),
  ),
};

export const ListUsersQuery = Type.Object(
  {
    limit: Type.Integer({ minimum: 1, maximum: 1000, default: 100, description: 'users on a page, 1–1000' }),
    after: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 1000,
        description: 'the cursor of the page before, from its `Link` header',
      }),
    ),
    sort: Type.Unsafe<UserSort>({
      type: 'string',
      enum: SORTS,
      default: 'id',
      description:
        'what to sort by, `-` before it for descending; names and emails by code point, regardless of letter case',
    }),
    ...UserFilter,
  },
  { additionalProperties: false },
);
export type ListUsersQuery = Static<typeof ListUsersQuery>;
