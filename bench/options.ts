import { parseArgs } from 'node:util';
import { SERVERS, type Server } from './servers.ts';
import { WORK_NAMES, type WorkName } from './works.ts';

export const DATABASES = ['sqlite', 'postgresql'] as const;
export type DatabaseName = (typeof DATABASES)[number];

export interface Options {
  servers: readonly Server[];
  works: readonly WorkName[];
  users: readonly number[];
  databases: readonly DatabaseName[];
  rounds: number;
  seconds: number;
  warmUpSeconds: number;
  connections: number;
  /** Where the results are written, below `results/`. */
  out: string;
}

export const USAGE = `npm run bench -- [flags]
  --quick             a smoke run: 10,000 users, one round, windows of one second
  --servers  a,b      of ${SERVERS.map(({ name }) => name).join(', ')}
  --works    a,b      of ${WORK_NAMES.join(', ')}
  --users    n,m      sizes of the directory (100000,1000000)
  --databases a,b     of ${DATABASES.join(', ')}
  --rounds   n        rounds, each with every server in turn (3)
  --seconds  n        length of a measured window (3)
  --out      name     writes results/NAME.md, .svg and .json (latest)`;

/** @throws {Error} that names the flag and shows the usage */
export function readOptions(args: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...args],
    options: {
      quick: { type: 'boolean', default: false },
      servers: { type: 'string' },
      works: { type: 'string' },
      users: { type: 'string' },
      databases: { type: 'string' },
      rounds: { type: 'string' },
      seconds: { type: 'string' },
      out: { type: 'string', default: 'latest' },
    },
  });
  const { quick } = values;
  const names = SERVERS.map(({ name }) => name);
  const chosen = chooseFrom(names, values.servers, '--servers');
  return {
    servers: SERVERS.filter(({ name }) => chosen.includes(name)),
    works: chooseFrom(WORK_NAMES, values.works, '--works'),
    users: (values.users ?? (quick ? '10000' : '100000,1000000'))
      .split(',')
      .map((n) => readNumber(n, '--users')),
    databases: chooseFrom(DATABASES, values.databases, '--databases'),
    rounds: readNumber(values.rounds ?? (quick ? '1' : '3'), '--rounds'),
    seconds: readNumber(values.seconds ?? (quick ? '1' : '3'), '--seconds'),
    warmUpSeconds: quick ? 0.5 : 1,
    connections: 50,
    out: values.out,
  };
}

/** In the order of `all`, so that every run has the same. */
export function chooseFrom<T extends string>(
  all: readonly T[],
  given: string | undefined,
  flag: string,
  usage = USAGE,
): readonly T[] {
  if (given === undefined) return all;
  const names = given.split(',');
  const unknown = names.find((name) => !all.includes(name as T));
  if (unknown !== undefined) throw new Error(`${flag} does not know ${unknown}\n\n${usage}`);
  return all.filter((name) => names.includes(name));
}

export function readNumber(text: string, flag: string, usage = USAGE): number {
  const value = Number(text.replaceAll('_', ''));
  if (!(value > 0)) throw new Error(`${flag} needs numbers above 0, not ${text}\n\n${usage}`);
  return value;
}
