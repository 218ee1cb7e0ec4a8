import { parseArgs } from 'node:util';
import { chooseFrom, DATABASES, type DatabaseName, readNumber } from '../options.ts';
import { QUEUES, type QueueEntry } from './queue.ts';

export interface QueueOptions {
  queues: readonly QueueEntry[];
  databases: readonly DatabaseName[];
  /** Tasks that may run at once. */
  concurrencies: readonly number[];
  rounds: number;
  tasks: number;
  /** Of each round. */
  pickUps: number;
  /** A file whose lock (`flock`) is taken for each round, where others measure on this machine, too. */
  lock: string | undefined;
  /** Where the results are written, below `results/`. */
  out: string;
}

export const USAGE = `npm run queues -- [flags]
  --quick             a smoke run: one round of 1,000 tasks
  --queues   a,b      of ${QUEUES.map(({ name }) => name).join(', ')}
  --databases a,b     of ${DATABASES.join(', ')}
  --concurrency n,m   tasks that may run at once (10,50)
  --rounds   n        rounds, each with every queue in turn (3)
  --tasks    n        tasks of each throughput (5000)
  --pick-ups n        pick-ups of each round (34)
  --lock     file     take this lock (flock) for each round, where others measure, too
  --out      name     writes results/NAME.md and .json (queues)`;

/** @throws {Error} that names the flag and shows the usage */
export function readQueueOptions(args: readonly string[]): QueueOptions {
  const { values } = parseArgs({
    args: [...args],
    options: {
      quick: { type: 'boolean', default: false },
      queues: { type: 'string' },
      databases: { type: 'string' },
      concurrency: { type: 'string', default: '10,50' },
      rounds: { type: 'string' },
      tasks: { type: 'string' },
      'pick-ups': { type: 'string' },
      lock: { type: 'string' },
      out: { type: 'string', default: 'queues' },
    },
  });
  const { quick } = values;
  const number = (text: string, flag: string) => readNumber(text, flag, USAGE);
  const names = QUEUES.map(({ name }) => name);
  const chosen = chooseFrom(names, values.queues, '--queues', USAGE);
  return {
    queues: QUEUES.filter(({ name }) => chosen.includes(name)),
    databases: chooseFrom(DATABASES, values.databases, '--databases', USAGE),
    concurrencies: values.concurrency.split(',').map((text) => number(text, '--concurrency')),
    rounds: number(values.rounds ?? (quick ? '1' : '3'), '--rounds'),
    tasks: number(values.tasks ?? (quick ? '1000' : '5000'), '--tasks'),
    pickUps: number(values['pick-ups'] ?? (quick ? '5' : '34'), '--pick-ups'),
    lock: values.lock,
    out: values.out,
  };
}
