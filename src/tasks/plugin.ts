import type { FastifyInstance } from 'fastify';
import plugin from 'fastify-plugin';
import { valueChecker } from '../http/validation.ts';
import { measureTasks } from './gauges.ts';
import { kindSchemas } from './kind-schemas.ts';
import type { TaskKind } from './kinds.ts';
import { TaskQueue } from './queue.ts';
import { TaskRunner } from './runner.ts';
import { Scheduler } from './scheduler.ts';
import type { NewSchedule } from './schedules.ts';
import { Watch } from './watch.ts';

declare module 'fastify' {
  interface FastifyInstance {
    tasks: TaskQueue;
  }
}

interface Options {
  kinds: readonly TaskKind[];
  formats: Record<string, (value: string) => boolean>;
  /** The schedules that are built in. */
  schedules: readonly NewSchedule[];
  concurrency: number;
  /** How long a shutdown waits for what runs. */
  graceMs: number;
  /** For tests: told of each step of a task. */
  reached?: ((step: string) => void) | undefined;
}

/** The background runs from the moment the service is ready until it closes. */
export default plugin(
  async (app: FastifyInstance, { kinds, schedules, formats, reached = () => {}, ...options }: Options) => {
    const { bell, reader, log, tracing, write } = app;
    const watch = new Watch(reader, bell);
    // A kind's own input is looked at as it stands; what it refers to is the union of all kinds.
    const checker = valueChecker(formats, kindSchemas(kinds));
    const queue = new TaskQueue(kinds, checker, { reader, watch, tracing });
    const names = kinds.map(({ kind }) => kind);
    const ended = measureTasks(app, names);
    const runner = new TaskRunner({ ...options, queue, write, bell, log, ended, reached });
    const scheduler = new Scheduler({ queue, write, bell, log, builtIn: schedules });

    app.decorate('tasks', queue);
    app.health.check('runner', async () =>
      performance.now() - runner.lookedAt < LONGEST_BLIND_MS
        ? undefined
        : 'has not looked for tasks for half a minute',
    );
    app.addHook('onReady', async () => {
      runner.start();
      await scheduler.start();
    });
    // Its time begins with the shutdown, not when the last connection has gone.
    app.addHook('preClose', async () => void runner.stop());
    app.addHook('onClose', async () => {
      await scheduler.stop();
      await runner.stop();
      watch.stop();
    });
  },
  { name: 'tasks', dependencies: ['db', 'health', 'metrics', 'tracing'] },
);

/** It looks every second; when the database is slow, the write that comes first may take so long. */
const LONGEST_BLIND_MS = 30_000;
