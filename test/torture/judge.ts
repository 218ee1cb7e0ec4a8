import type { User } from '../../src/users/users.schemas.ts';
import type { Change } from '../support/log.ts';
import type { Heard } from './audience.ts';
import type { History, Task } from './history.ts';
import {
  erasedAreCounted,
  noAcknowledgedLost,
  noRefusedPresent,
  nothingMadeUp,
  Traces,
  unknownsAreWhole,
} from './history-invariants.ts';
import {
  emailsUnique,
  erasedLeaveNothing,
  followerSawAll,
  logRebuildsTable,
  positionsRise,
  versionsInLine,
  webhookTookAll,
} from './log-invariants.ts';
import {
  everyTaskIsSettled,
  noTaskIsLeft,
  noTaskIsSettledTwice,
  Tasks,
  workWasDoneOnce,
} from './task-invariants.ts';

/** What there is when all is over. */
export interface Evidence {
  history: History;
  log: Change[];
  users: User[];
  tasks: Task[];
  /** The tasks once more, some time later. */
  tasksLater: Task[];
  heard: Heard;
  /** Answers that are not in the API document. */
  undocumented: string[];
  /** What of the services is not as it was before. */
  changed: string[];
}

/** Holds everything against everything, exactly: of each invariant what breaks it, in words. */
export function judge({
  history,
  log,
  users,
  heard,
  undocumented,
  changed,
  ...read
}: Evidence): Record<string, string[]> {
  const traces = new Traces(log);
  const tasks = new Tasks(read.tasks);
  return {
    'no acknowledged write lost': noAcknowledgedLost(history, traces),
    'no failed one present': noRefusedPresent(history, traces),
    'an unknown one is wholly there or not at all': unknownsAreWhole(history, traces),
    'nothing is made up': nothingMadeUp(history, log, traces),
    'everybody reads what they wrote': history.misread,
    'the log rebuilds the table': logRebuildsTable(log, users),
    'the log is in order': [...positionsRise(log), ...versionsInLine(log)],
    'emails are unique': emailsUnique(log, users),
    'the erased leave nothing': erasedLeaveNothing(log),
    'the erased are counted': erasedAreCounted(history, log),
    'every stream and webhook saw everything': [
      ...heard.strange,
      ...heard.followed.flatMap((seen) => followerSawAll(seen, log)),
      ...heard.taken.flatMap((taken) => webhookTookAll(taken, log)),
    ],
    'every task is settled': [...everyTaskIsSettled(history, tasks), ...noTaskIsLeft(tasks)],
    'and once': [
      ...noTaskIsSettledTwice(history, new Tasks(read.tasksLater)),
      ...workWasDoneOnce(history, tasks),
    ],
    'back to normal': changed,
    'only documented errors': undocumented,
  };
}
