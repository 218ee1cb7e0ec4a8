import type { FastifyInstance } from 'fastify';
import plugin from 'fastify-plugin';
import { Bell } from '../db/bell.ts';
import { Invalid } from '../errors.ts';
import { valueChecker } from '../http/validation.ts';
import { kindSchemas } from './kind-schemas.ts';
import type { TaskKind } from './kinds.ts';
import { TaskQueue } from './queue.ts';
import { TaskRunner } from './runner.ts';
import { Watch } from './watch.ts';

declare module 'fastify' {
  interface FastifyInstance {
    tasks: TaskQueue;
  }
}

interface Options {
  databaseUrl: string;
  kinds: readonly TaskKind[];
  formats: Record<string, (value: string) => boolean>;
  concurrency: number;
  /** How long a shutdown waits for what runs. */
  graceMs: number;
  reached?: ((step: string) => void) | undefined;
}

/** The background runs from the moment the service is ready until it closes. */
export default plugin(
  async (app: FastifyInstance, { databaseUrl, kinds, formats, ...options }: Options) => {
    const { reader, log } = app;
    const write = app.write;
    const bell = new Bell(databaseUrl, log);
    const watch = new Watch(reader, bell);
    // A kind's own input is looked at as it stands; what it refers to is the union of all kinds.
    const check = valueChecker(formats, kindSchemas(kinds));
    const compile = (kind: TaskKind) => {
      const faultsOf = check(kind.input, ['input']);
      return (input: unknown) => {
        const faults = faultsOf(input);
        return faults.length === 0
          ? undefined
          : new Invalid('invalid-body', 'The body breaks the rules listed in errors.', faults);
      };
    };
    const queue = new TaskQueue(kinds, compile, { bell, reader, watch });
    const runner = new TaskRunner({ ...options, queue, write, bell, log });

    app.decorate('tasks', queue);
    app.addHook('onReady', async () => {
      bell.start();
      runner.start();
    });
    // Its time begins with the shutdown, not when the last connection has gone.
    app.addHook('preClose', async () => void runner.stop());
    app.addHook('onClose', async () => {
      await runner.stop();
      watch.stop();
      await bell.stop();
    });
  },
  { name: 'tasks', dependencies: ['db'] },
);
