import type { Test } from 'tap';
import { fetch } from './fetch.ts';
import { type Service, startService } from './service.ts';

export interface Task {
  startedAt?: string;
  finishedAt?: string;
  id: number;
  state: string;
  attempt: number;
  error?: { code?: string };
}

/** A service with the kinds of `task-service.ts`. */
export function startTaskService(test: Test, env: Record<string, string>): Promise<Service> {
  return startService(test, env, 'test/support/task-service.ts');
}

export async function postTask({ base }: Service, json: unknown): Promise<Task> {
  const response = await fetch(`${base}/tasks`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(json),
  });
  return (await response.json()) as Task;
}

/** The task when it has ended. */
export async function endedTask({ base }: Service, id: number): Promise<Task> {
  const response = await fetch(`${base}/tasks/${id}`, { headers: { prefer: 'wait=60' } });
  return (await response.json()) as Task;
}
