import type { Static } from 'typebox';
import { limitSchema } from '../http/paging.ts';
import { idSchema, ref, textSchema, timeSchema } from '../http/schemas.ts';
import { STATES } from './task.entity.ts';

const dateTime = (description: string, example: string) =>
  timeSchema(`${description}: RFC 3339, UTC, to the millisecond`, example);

export const TaskId = idSchema('the number of a task', 1);

const State = {
  type: 'string',
  enum: STATES,
  description:
    '`scheduled`: for later, or between two attempts; `queued`: waits for a free place; `running`; and how it ended',
  examples: ['succeeded'],
} as const;

export const TaskProgress = {
  type: 'object',
  required: ['done'],
  properties: {
    done: { type: 'number', description: 'how much is done', examples: [40] },
    total: { type: 'number', description: 'of how much, if that is known', examples: [100] },
    bytes: { type: 'number', description: 'of a file: how much of it is read', examples: [4096] },
    totalBytes: { type: 'number', description: 'of a file: its length', examples: [10_240] },
    counts: {
      type: 'object',
      additionalProperties: { type: 'number' },
      description: 'what has come of what is done, by name',
      examples: [{ created: 39, refused: 1 }],
    },
  },
  $id: 'TaskProgress',
  description: 'How far a task is.',
  examples: [{ done: 40, total: 100 }],
} as const;
export type TaskProgress = Static<typeof TaskProgress>;

export const TaskError = {
  type: 'object',
  required: ['message'],
  properties: {
    message: textSchema('for people', 'It took longer than 1000 ms.'),
    code: textSchema('for programs', 'process-lost'),
  },
  $id: 'TaskError',
  description: 'Why the last attempt failed.',
  examples: [{ message: 'It took longer than 1000 ms.' }],
} as const;
export type TaskError = Static<typeof TaskError>;

const exampleTask = {
  id: 1,
  kind: 'sleep',
  state: 'succeeded',
  input: { ms: 5000 },
  priority: 0,
  runAt: '2026-01-15T09:30:00.000Z',
  attempt: 1,
  maxAttempts: 5,
  createdAt: '2026-01-15T09:30:00.000Z',
  startedAt: '2026-01-15T09:30:00.004Z',
  finishedAt: '2026-01-15T09:30:05.006Z',
};

export const Task = {
  type: 'object',
  required: ['id', 'kind', 'state', 'priority', 'attempt', 'maxAttempts', 'createdAt'],
  properties: {
    id: TaskId,
    kind: textSchema('what it does', 'sleep'),
    state: State,
    input: { description: 'what it was given; left out in lists', examples: [{ ms: 5000 }] },
    priority: { type: 'integer', description: 'higher goes first', examples: [0] },
    runAt: dateTime('not to run before; absent while it waits for its parent', exampleTask.runAt),
    attempt: { type: 'integer', minimum: 0, description: 'how often it was begun', examples: [1] },
    maxAttempts: { type: 'integer', minimum: 1, description: 'how often it may fail', examples: [5] },
    progress: ref(TaskProgress),
    result: { description: 'what it gave; left out in lists', examples: [{ deleted: 12 }] },
    error: ref(TaskError),
    dedupeKey: textSchema(
      'while it is not finished, another of its kind with this key is this one',
      'nightly',
    ),
    parentId: { type: 'integer', description: 'the task that waits for this one', examples: [7] },
    actor: textSchema(
      'who asked for it; absent where nobody had to say, and where the service itself did',
      'key:k3v9q0a7m2xz',
    ),
    cancelRequestedAt: dateTime('when somebody asked for it to be cancelled', exampleTask.finishedAt),
    createdAt: dateTime('when it was enqueued', exampleTask.createdAt),
    startedAt: dateTime('when the last attempt began', exampleTask.startedAt),
    finishedAt: dateTime('when it ended', exampleTask.finishedAt),
  },
  $id: 'Task',
  additionalProperties: false,
  description: 'A piece of background work. What is not there yet is left out.',
  examples: [exampleTask],
} as const;

export const TaskEvents = {
  type: 'string',
  $id: 'TaskEvents',
  description:
    'Events (HTML §9.2): `state` with the task at first and whenever its state or attempt changes, `progress` with its ' +
    'progress. The stream ends after the state that the task ends in.',
  examples: ['event: progress\ndata: {"done":40,"total":100}\n\n'],
} as const;

export const ListTasksQuery = {
  type: 'object',
  required: ['limit'], // it has a default
  properties: {
    state: { ...State, description: 'only those in this state' },
    kind: { ...textSchema('only those of this kind', 'sleep'), minLength: 1, maxLength: 100 },
    limit: limitSchema('the most tasks on a page, 1–1000'),
    after: {
      type: 'string',
      minLength: 1,
      maxLength: 1000,
      description: 'the cursor of the page before, from its `Link` header; it fits those filters only',
      examples: ['WyJudmdoRkZybSIsMl0'],
    },
  },
  additionalProperties: false,
} as const;
export type ListTasksQuery = Static<typeof ListTasksQuery>;
