import type { Machine } from '../machine/describe.ts';
import { FOREIGN_LIMIT } from '../measure.ts';
import type { DatabaseName } from '../options.ts';
import { DATABASE_TITLES, ms, whole } from '../report/format.ts';
import { machineLine, markdownTable } from '../report/markdown.ts';
import { median } from '../report/summary.ts';
import { align } from '../report/terminal.ts';
import { MUSTER_QUEUE, QUEUES } from './queue.ts';
import type { Figures } from './turn.ts';

export interface TakenTurn extends Figures {
  queue: string;
  round: number;
  /** One small durable write, just after the turn (µs). */
  durableWriteMicros: number;
}

/** All turns on one database with one number of tasks at once. */
export interface Group {
  database: DatabaseName;
  concurrency: number;
  turns: TakenTurn[];
  failures: { queue: string; problem: string }[];
}

export interface QueueReport {
  machine: Machine;
  options: { rounds: number; tasks: number; pickUps: number };
  groups: Group[];
}

const THROUGHPUTS = ['enqueue', 'complete', 'both'] as const;
const HEAD = [
  'queue',
  ...['enqueue', 'complete', 'both at once'].flatMap((title) => [`${title} /s`, '× Muster']),
  'pick-up p50 ms',
  'p99 ms',
];

export function printQueues({ groups }: QueueReport): string {
  const lines: (string[] | string)[] = [HEAD];
  for (const group of groups) {
    lines.push(`— ${titleOf(group)}`, ...rowsOf(group));
    lines.push(...group.failures.map(({ queue, problem }) => `${queue} failed: ${problem}`));
  }
  return [...align(lines), '', ...footnotes(groups)].join('\n');
}

export function writeQueues({ machine, options, groups }: QueueReport): string {
  const { rounds, tasks, pickUps } = options;
  const sections = [
    '# An empty task in Muster and in other queues',
    machineLine(machine),
    `Each queue runs alone on one core, in a process that also makes the calls; PostgreSQL has the other. Rounds of every queue in turn (${rounds}), each on a new database, every other round in reverse; figures are medians of the rounds. Commits are durable for all: SQLite with WAL and \`synchronous=FULL\`, PostgreSQL with \`fsync\` and \`synchronous_commit\` on, read back over the queue's own connection.`,
    `**Enqueue**: ${whole(tasks)} tasks by 50 callers, one task a call, while no worker runs. **Complete**: a worker is started on them, until the database has all of them as settled. **Both at once**: as many again, enqueued while the worker runs, to the last one settled. **Pick-up**: from the call that enqueues one task on an idle queue to the start of its function, ${whole(rounds * pickUps)} times. A row whose count of tasks, of runs or of tasks done is not what it must be fails.`,
    ...groups.flatMap((group) => [
      `## ${titleOf(group)}`,
      markdownTable(HEAD, rowsOf(group), 1),
      disk(group),
      ...group.failures.map(({ queue, problem }) => `**${queue} failed**: ${problem}`),
    ]),
    ...footnotes(groups),
  ];
  return `${sections.filter((section) => section !== '').join('\n\n')}\n`;
}

function titleOf({ database, concurrency }: Group): string {
  return `${DATABASE_TITLES[database]}, ${concurrency} tasks at once`;
}

function rowsOf({ turns }: Group): string[][] {
  const of = (queue: string) => turns.filter((turn) => turn.queue === queue);
  const muster = of(MUSTER_QUEUE);
  return QUEUES.flatMap(({ name, title }) => {
    const own = of(name);
    if (own.length === 0) return [];
    const rates = THROUGHPUTS.flatMap((key) => {
      const [rate, musters] = [own, muster].map((all) => median(all.map((turn) => turn[key])));
      return [whole(rate ?? Number.NaN), ratio(rate, musters)];
    });
    const pickUps = own.flatMap(({ pickUpsMs }) => pickUpsMs);
    return [[title + mark(own), ...rates, ms(quantile(pickUps, 0.5)), ms(quantile(pickUps, 0.99))]];
  });
}

function ratio(rate = Number.NaN, musters = Number.NaN): string {
  const value = rate / musters;
  return Number.isNaN(value) ? '' : value.toFixed(2);
}

function mark(turns: readonly TakenTurn[]): string {
  return median(turns.map(({ foreignShare }) => foreignShare)) > FOREIGN_LIMIT ? ' ¹' : '';
}

function footnotes(groups: readonly Group[]): string[] {
  const marked = groups.some(({ turns }) => QUEUES.some(({ name }) => isMarked(turns, name)));
  return marked
    ? ['¹ other processes took more than 10 % of the queue’s core: the machine did something else as well']
    : [];
}

function isMarked(turns: readonly TakenTurn[], queue: string): boolean {
  return mark(turns.filter((turn) => turn.queue === queue)) !== '';
}

function disk({ turns }: Group): string {
  if (turns.length === 0) return '';
  const micros = turns.map((turn) => turn.durableWriteMicros);
  const [low, high] = [Math.min(...micros), Math.max(...micros)];
  return `One durable write of 4 KiB to the disk took ${whole(median(micros))} µs (${whole(low)}–${whole(high)} over the run).`;
}

/** The nearest rank: of 100 values the 99th is their 0.99 quantile. */
function quantile(values: readonly number[], part: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.ceil(sorted.length * part) - 1] ?? Number.NaN;
}
