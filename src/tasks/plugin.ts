import type { FastifyInstance } from 'fastify';
import plugin from 'fastify-plugin';
import { TaskRunner } from './runner.ts';

declare module 'fastify' {
  interface FastifyInstance {
    tasks: TaskRunner;
  }
}

/** The background runs from the moment the service is ready until it closes. `graceMs`: how long a shutdown waits. */
export default plugin(
  async (app: FastifyInstance, { graceMs }: { graceMs: number }) => {
    const runner = new TaskRunner(app.log, graceMs);
    app.decorate('tasks', runner);
    app.addHook('onReady', async () => runner.start());
    // Its time begins with the shutdown, not when the last connection has gone.
    app.addHook('preClose', async () => void runner.stop());
    app.addHook('onClose', () => runner.stop());
  },
  { name: 'tasks' },
);
