import type { FastifyInstance } from 'fastify';
import type { Test } from 'tap';
import type { Config } from '../../src/config.ts';
import type { DialectName } from '../../src/db/url.ts';
import type { TaskKind } from '../../src/tasks/kinds.ts';
import { isFinished, type TaskView } from '../../src/tasks/view.ts';
import { startApp } from './app.ts';

export function startTasks(
  test: Test,
  dialect: DialectName,
  kinds: readonly TaskKind[],
  overrides: Partial<Config> = {},
) {
  return startApp(test, dialect, overrides, { kinds });
}

/** The task when it has ended, or is as `wanted` says. */
export async function settled(
  app: FastifyInstance,
  id: number,
  wanted: (task: TaskView) => boolean = isFinished,
): Promise<TaskView> {
  for (;;) {
    const changed = app.tasks.watch.next();
    const task = await app.tasks.watch.find(id);
    if (task !== undefined && wanted(task)) return task;
    await changed;
  }
}
