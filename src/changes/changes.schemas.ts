import type { Static } from 'typebox';
import { CHANGE_TYPES } from './change.entity.ts';

export const Position = {
  type: 'integer',
  minimum: 0,
  maximum: Number.MAX_SAFE_INTEGER,
  description: 'a place in the one order of all changes; 0 is before the first',
  examples: [42],
} as const;

const Epoch = {
  type: 'string',
  pattern: '^[0-9a-f]{16}$',
  description: 'names the log that positions belong to: another one after a restore from a backup',
  examples: ['8f14e45fceea167a'],
} as const;

const userThen = {
  id: 7,
  name: 'Ada King',
  email: 'ada@example.com',
  attributes: { team: 'analysis' },
  version: 2,
  createdAt: '2026-01-15T09:30:00.000Z',
  updatedAt: '2026-03-02T16:05:12.480Z',
};

const exampleChange = {
  position: 42,
  type: 'user.updated',
  userId: 7,
  version: 2,
  user: userThen,
  changedFields: ['name', 'attributes'],
  actor: null,
  at: '2026-03-02T16:05:12.480Z',
};

export const Change = {
  type: 'object',
  required: ['position', 'type', 'userId', 'version', 'user', 'changedFields', 'actor', 'at'],
  properties: {
    position: { ...Position, minimum: 1 },
    type: {
      type: 'string',
      enum: CHANGE_TYPES,
      description:
        'what happened; `user.erased` follows when every personal value of a user has been removed, from earlier ' +
        'changes as well',
      examples: ['user.updated'],
    },
    userId: { type: 'integer', minimum: 1, description: 'whom it happened to', examples: [7] },
    version: {
      type: 'integer',
      minimum: 1,
      description:
        'the user’s version after it: per user it rises by one with each change, deletion included',
      examples: [2],
    },
    user: {
      anyOf: [{ $ref: 'User#' }, { type: 'null' }],
      description:
        'the user after it; null when there is none any more, and in every change of a user who was erased',
      examples: [userThen],
    },
    changedFields: {
      type: 'array',
      items: { type: 'string', enum: ['name', 'email', 'attributes'] },
      description: 'those of them that are not as they were before; none for a user who was erased',
      examples: [['name', 'attributes']],
    },
    actor: {
      type: ['string', 'null'],
      description: 'who asked for it; null where nobody had to say who they are',
      examples: [null],
    },
    at: {
      type: 'string',
      format: 'date-time',
      description: 'when it was made: RFC 3339, UTC, to the millisecond',
      examples: [exampleChange.at],
    },
  },
  $id: 'Change',
  additionalProperties: false,
  description: 'What happened to one user.',
  examples: [exampleChange],
} as const;

/** The text of an event stream, which no schema can take apart. */
export const ChangeEvents = {
  type: 'string',
  $id: 'ChangeEvents',
  description:
    'Server-sent events (HTML §9.2). The first, `position`, says after which position the stream follows: ' +
    '`{"position": 41}`. Then each change is an event of its own, named by its type, with its position as `id`. Every ' +
    '15 seconds without one there is a comment, and with it the position up to which there was nothing to send.',
  examples: [
    `retry: 1000\nid: 41\nevent: position\ndata: {"position":41}\n\n` +
      `id: 42\nevent: user.updated\ndata: ${JSON.stringify(exampleChange)}\n\n`,
  ],
} as const;

export const ListChangesQuery = {
  type: 'object',
  required: ['limit'], // it has a default
  properties: {
    after: {
      ...Position,
      description:
        'only changes after this position; without it, a page begins with the first change, a stream with the next one',
    },
    limit: {
      type: 'integer',
      minimum: 1,
      maximum: 1000,
      default: 100,
      description: 'the most changes on a page, 1–1000; a stream has no end',
      examples: [2],
    },
    epoch: {
      ...Epoch,
      description:
        'the `Muster-Epoch` that went with the position: if the directory was restored from a backup since, the answer is ' +
        'a 410. A browser that connects again sends it again',
    },
    types: {
      type: 'string',
      pattern: `^(${CHANGE_TYPES.join('|')})(,(${CHANGE_TYPES.join('|')}))*$`.replaceAll('.', '\\.'),
      description: `only changes of these types, separated by commas: ${CHANGE_TYPES.join(', ')}`,
      examples: ['user.created,user.deleted'],
    },
  },
  additionalProperties: false,
} as const;
export type ListChangesQuery = Static<typeof ListChangesQuery>;

export const FollowHeaders = {
  type: 'object',
  properties: {
    'last-event-id': {
      type: 'string',
      pattern: '^[0-9]{1,15}$',
      description:
        'of a stream: the position of the last event that has arrived. It goes on right after it, whatever `after` ' +
        'says: a browser that connects again sends the same URL (HTML §9.2.4)',
      examples: ['42'],
    },
  },
} as const;

export const positionHeader = {
  'Muster-Epoch': { ...Epoch, required: true },
  'Muster-Position': {
    ...Position,
    required: true,
    description: 'the position of the log at which this was read: whoever follows from it misses nothing',
  },
} as const;
