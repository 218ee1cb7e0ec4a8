import type { User } from '../../src/users/users.schemas.ts';
import { readAll } from '../support/fetch.ts';
import type { Change } from '../support/log.ts';
import type { Service } from '../support/service.ts';
import type { Audience } from './audience.ts';
import { backToNormal, examine, type Vitals } from './calm.ts';
import type { Client } from './client.ts';
import type { History, Task } from './history.ts';
import { judge } from './judge.ts';
import { readTasks, settle } from './settle.ts';

export interface Witnesses {
  bases: readonly string[];
  services: readonly Service[];
  client: Client;
  history: History;
  audience: Audience;
  /** How each service was when nothing had happened. */
  before: readonly Vitals[];
  /** How long they may take to be so again. */
  calmWithinMs?: number | undefined;
}

export interface Verdict {
  broken: string[];
  changes: number;
  tasks: number;
}

/** Of each invariant so many examples: one broken write breaks many others. */
const EXAMPLES = 5;

/** Waits until all that was begun has ended, and has everything judged. */
export async function check({
  bases,
  services,
  client,
  history,
  audience,
  before,
  calmWithinMs,
}: Witnesses): Promise<Verdict> {
  const [base = ''] = bases;
  await settle(base, client);
  const tasks = await readTasks(base, client, history);
  for (const task of tasks) history.sawTask(task);
  const log = await readAll<Change>(base, '/changes?limit=1000');
  const users = await readAll<User>(base, '/users?limit=1000');
  const heard = await audience.finish(log);
  await client.close();
  const calms = services.map(async (service, at) => {
    const was = before[at];
    if (was === undefined) return [`nobody knows how ${service.base} was`];
    const more = await backToNormal(() => examine(service), was, calmWithinMs);
    return more.map((one) => `${service.base}: ${one}`);
  });
  const changed = (await Promise.all(calms)).flat();
  const tasksLater = await readAll<Task>(base, '/tasks?limit=1000');
  const { undocumented } = client;
  const results = judge({ history, log, users, tasks, tasksLater, heard, undocumented, changed });
  return { broken: inWords(results), changes: log.length, tasks: tasks.length };
}

function inWords(results: Record<string, string[]>): string[] {
  return Object.entries(results).flatMap(([name, all]) => {
    const more = all.length > EXAMPLES ? [`${name}: and ${all.length - EXAMPLES} more`] : [];
    return [...all.slice(0, EXAMPLES).map((one) => `${name}: ${one}`), ...more];
  });
}
