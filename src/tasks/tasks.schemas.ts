import { type Static, Type } from 'typebox';
import { STATES, type TaskState } from './task.entity.ts';

const dateTime = (description: string, example: string) =>
  Type.Unsafe<Date>({
    type: 'string',
    format: 'date-time',
    description: `${description}: RFC 3339, UTC, to the millisecond`,
    examples: [example],
  });

export const TaskId = Type.Integer({
  minimum: 1,
  maximum: Number.MAX_SAFE_INTEGER,
  description: 'the number of a task',
  examples: [1],
});

export const State = Type.Unsafe<TaskState>({
  type: 'string',
  enum: STATES,
  description:
    '`scheduled`: for later, or between two attempts; `queued`: waits for a free place; `running`; and how it ended',
  examples: ['succeeded'],
});

const Kind = Type.String({ description: 'what it does', examples: ['sleep'] });

export const TaskProgress = Type.Object(
  {
    done: Type.Number({ description: 'how much is done', examples: [40] }),
    total: Type.Optional(Type.Number({ description: 'of how much, if that is known', examples: [100] })),
  },
  { $id: 'TaskProgress', description: 'How far a task is.', examples: [{ done: 40, total: 100 }] },
);

export const TaskError = Type.Object(
  {
    message: Type.String({ description: 'for people', examples: ['It took longer than 1000 ms.'] }),
    code: Type.Optional(Type.String({ description: 'for programs', examples: ['process-lost'] })),
  },
  {
    $id: 'TaskError',
    description: 'Why the last attempt failed.',
    examples: [{ message: 'It took longer than 1000 ms.' }],
  },
);

export const exampleTask = {
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

export const Task = Type.Object(
  {
    id: TaskId,
    kind: Kind,
    state: State,
    input: Type.Optional(
      Type.Unknown({ description: 'what it was given; left out in lists', examples: [{ ms: 5000 }] }),
    ),
    priority: Type.Integer({ description: 'higher goes first', examples: [0] }),
    runAt: Type.Optional(
      dateTime('not to run before; absent while it waits for its parent', exampleTask.runAt),
    ),
    attempt: Type.Integer({ minimum: 0, description: 'how often it was begun', examples: [1] }),
    maxAttempts: Type.Integer({ minimum: 1, description: 'how often it may fail', examples: [5] }),
    progress: Type.Optional(Type.Unsafe<Static<typeof TaskProgress>>({ $ref: 'TaskProgress#' })),
    result: Type.Optional(
      Type.Unknown({ description: 'what it gave; left out in lists', examples: [{ deleted: 12 }] }),
    ),
    error: Type.Optional(Type.Unsafe<Static<typeof TaskError>>({ $ref: 'TaskError#' })),
    dedupeKey: Type.Optional(
      Type.String({
        description: 'while it is not finished, another of its kind with this key is this one',
        examples: ['nightly'],
      }),
    ),
    parentId: Type.Optional(
      Type.Integer({ description: 'the task that waits for this one', examples: [7] }),
    ),
    cancelRequestedAt: Type.Optional(
      dateTime('when somebody asked for it to be cancelled', exampleTask.finishedAt),
    ),
    createdAt: dateTime('when it was enqueued', exampleTask.createdAt),
    startedAt: Type.Optional(dateTime('when the last attempt began', exampleTask.startedAt)),
    finishedAt: Type.Optional(dateTime('when it ended', exampleTask.finishedAt)),
  },
  {
    $id: 'Task',
    additionalProperties: false,
    description: 'A piece of background work. What is not there yet is left out.',
    examples: [exampleTask],
  },
);

export const TaskEvents = Type.String({
  $id: 'TaskEvents',
  description:
    'Events (HTML §9.2): `state` with the task at first and whenever its state or attempt changes, `progress` with its ' +
    'progress. The stream ends after the state that the task ends in.',
  examples: ['event: progress\ndata: {"done":40,"total":100}\n\n'],
});

export const ListTasksQuery = Type.Object(
  {
    state: Type.Optional(Type.Unsafe<TaskState>({ ...State, description: 'only those in this state' })),
    kind: Type.Optional(
      Type.String({ minLength: 1, maxLength: 100, description: 'only those of this kind', examples: ['sleep'] }),
    ),
    limit: Type.Integer({
      minimum: 1,
      maximum: 1000,
      default: 100,
      description: 'the most tasks on a page, 1–1000',
      examples: [2],
    }),
    after: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 1000,
        description: 'the cursor of the page before, from its `Link` header; it fits those filters only',
        examples: ['WyJudmdoRkZybSIsMl0'],
      }),
    ),
  },
  { additionalProperties: false },
);
export type ListTasksQuery = Static<typeof ListTasksQuery>;
