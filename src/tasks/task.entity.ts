import { defineEntity, p } from '@mikro-orm/core';
import type { TaskError, TaskProgress } from './tasks.schemas.ts';

export const STATES = ['scheduled', 'queued', 'running', 'succeeded', 'failed', 'cancelled'] as const;
export type TaskState = (typeof STATES)[number];

/**
 * A piece of background work. Its states:
 *
 *     scheduled → queued → running → succeeded | failed | cancelled
 *         ↑          ↑        │
 *         └─ backoff ┴─ lost ─┘
 *
 * `attempt` counts claims: with `runner` it names one run, and is the fence for every write of that run. `losses`
 * counts how often in a row the runner vanished before it had saved anything. A `scheduled` task without `runAt` waits
 * for its parent to let it go.
 *
 * `parentId` is no foreign key: pruning takes children before parents, a thousand rows at a time, where a cascade would
 * take ten thousand at once.
 *
 * What the runner asks all the time goes along partial indexes, which hold only the tasks in that state.
 */
const TaskSchema = defineEntity({
  name: 'Task',
  tableName: 'tasks',
  indexes: [
    {
      name: 'tasks_queued',
      columns: [{ name: 'kind' }, { name: 'priority', sort: 'desc' }, { name: 'id' }],
      properties: ['kind', 'priority', 'id'],
      where: `state = 'queued' and losses < 2`,
    },
    {
      name: 'tasks_suspect',
      columns: [{ name: 'kind' }, { name: 'priority', sort: 'desc' }, { name: 'id' }],
      properties: ['kind', 'priority', 'id'],
      where: `state = 'queued' and losses >= 2`,
    },
    { name: 'tasks_scheduled', properties: ['runAt'], where: `state = 'scheduled'` },
    { name: 'tasks_running', properties: ['leaseUntil'], where: `state = 'running'` },
    { name: 'tasks_parent', properties: ['parentId', 'place'], where: 'parent_id is not null' },
    { name: 'tasks_finished_at', properties: ['finishedAt'], where: 'finished_at is not null' },
    { name: 'tasks_state_id', properties: ['state', 'id'] },
    { name: 'tasks_kind_id', properties: ['kind', 'id'] },
  ],
  uniques: [
    {
      name: 'tasks_dedupe',
      properties: ['kind', 'dedupeKey'],
      where: 'finished_at is null and dedupe_key is not null',
    },
  ],
  properties: {
    id: p.integer().primary(),
    kind: p.text(),
    state: p.text().$type<TaskState>(),
    priority: p.integer(),
    runAt: p.datetime(3).nullable(),
    input: p.json<unknown>().columnType('json'),
    progress: p.json<TaskProgress>().columnType('json').nullable(),
    checkpoint: p.json<unknown>().columnType('json').nullable(),
    result: p.json<unknown>().columnType('json').nullable(),
    error: p.json<TaskError>().columnType('json').nullable(),
    attempt: p.integer(),
    maxAttempts: p.integer(),
    losses: p.integer(),
    runner: p.text().nullable(),
    leaseUntil: p.datetime(3).nullable(),
    cancelRequestedAt: p.datetime(3).nullable(),
    dedupeKey: p.text().nullable(),
    parentId: p.integer().nullable(),
    place: p.integer().nullable(),
    /** Who asked for it; null when nobody had to say, and when the service itself did. */
    actor: p.text().nullable(),
    /** The span in which it was asked for, while traces are made. */
    traceparent: p.text().nullable(),
    createdAt: p.datetime(3),
    startedAt: p.datetime(3).nullable(),
    finishedAt: p.datetime(3).nullable(),
  },
});

export class Task extends TaskSchema.class {}
TaskSchema.setClass(Task);
