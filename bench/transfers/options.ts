import { parseArgs } from 'node:util';
import { chooseFrom, DATABASES, type Options, readNumber, readOptions } from '../options.ts';

export const PARTS = ['whole', 'limit', 'peers', 'beside', 'killed'] as const;
export type Part = (typeof PARTS)[number];

export interface TransferOptions extends Options {
  /** Rows of the file that is imported, or users that are exported. */
  rows: number;
  parts: readonly Part[];
}

const USAGE = `npm run import -- [flags], and npm run export, without killed and peers
  --rows     n        rows of the file, or users that are exported (100000)
  --databases a,b     of ${DATABASES.join(', ')}
  --parts    a,b      of ${PARTS.join(', ')}
  --users    n        users who are there before an import (1000)
  --rounds   n        windows of each kind, idle and busy in turn (3)
  --seconds  n        length of a window (3)
  --out      name     writes results/NAME.md and .json (transfers)`;

/** @throws {Error} that names the flag and shows the usage */
export function readTransferOptions(args: readonly string[]): TransferOptions {
  const { values } = parseArgs({
    args: [...args],
    options: {
      rows: { type: 'string', default: '100000' },
      databases: { type: 'string' },
      parts: { type: 'string' },
      users: { type: 'string', default: '1000' },
      rounds: { type: 'string', default: '3' },
      seconds: { type: 'string', default: '3' },
      out: { type: 'string', default: 'transfers' },
    },
  });
  const number = (name: 'rows' | 'users' | 'rounds' | 'seconds') =>
    readNumber(values[name], `--${name}`, USAGE);
  return {
    ...readOptions([]),
    rows: number('rows'),
    databases: chooseFrom(DATABASES, values.databases, '--databases', USAGE),
    parts: chooseFrom(PARTS, values.parts, '--parts', USAGE),
    users: [number('users')],
    rounds: number('rounds'),
    seconds: number('seconds'),
    out: values.out,
  };
}
