import type { User } from '../../src/users/users.schemas.ts';
import { readAll } from '../support/fetch.ts';
import type { Change } from '../support/log.ts';
import type { Service } from '../support/service.ts';
import type { Audience } from './audience.ts';
import { backToNormal, type Vitals } from './calm.ts';
import type { Client } from './client.ts';
import type { History } from './history.ts';
import {
  noAcknowledgedLost,
  noRefusedPresent,
  nothingMadeUp,
  Traces,
  unknownsAreWhole,
} from './history-invariants.ts';
import {
  emailsUnique,
  erasedLeaveNothing,
  logRebuildsTable,
  positionsRise,
  versionsInLine,
} from './log-invariants.ts';
import { readTasks, settle } from './settle.ts';
import {
  everyTaskIsSettled,
  noTaskIsLeft,
  noTaskIsSettledTwice,
  Tasks,
  workWasDoneOnce,
} from './task-invariants.ts';

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

/** Waits until all that was begun has ended, and then holds everything against everything. */
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
  const tasks = new Tasks(await readTasks(base, client, history));
  const log = await readAll<Change>(base, '/changes?limit=1000');
  const users = await readAll<User>(base, '/users?limit=1000');
  const traces = new Traces(log);
  const audienceMissed = await audience.finish(log);
  await client.close();
  const calms = services.map((one, at) => before[at] && backToNormal(one, before[at], calmWithinMs));
  const results: Record<string, string[]> = {
    'no acknowledged write lost': noAcknowledgedLost(history, traces),
    'no failed one present': noRefusedPresent(history, traces),
    'an unknown one is wholly there or not at all': unknownsAreWhole(history, traces),
    'nothing is made up': nothingMadeUp(history, log, traces),
    'everybody reads what they wrote': history.misread,
    'the log rebuilds the table': logRebuildsTable(log, users),
    'the log is in order': [...positionsRise(log), ...versionsInLine(log)],
    'emails are unique': emailsUnique(log, users),
    'the erased leave nothing': erasedLeaveNothing(log),
    'every stream and webhook saw everything': audienceMissed,
    'every task is settled': [...everyTaskIsSettled(history, tasks), ...noTaskIsLeft(tasks)],
    'and once': [...noTaskIsSettledTwice(history, tasks), ...workWasDoneOnce(history, tasks)],
    'back to normal': (await Promise.all(calms)).flatMap((one) => one ?? []),
    'only documented errors': client.undocumented,
  };
  return { broken: inWords(results), changes: log.length, tasks: tasks.all.length };
}

function inWords(results: Record<string, string[]>): string[] {
  return Object.entries(results).flatMap(([name, all]) => {
    const more = all.length > EXAMPLES ? [`${name}: and ${all.length - EXAMPLES} more`] : [];
    return [...all.slice(0, EXAMPLES).map((one) => `${name}: ${one}`), ...more];
  });
}
