import { type ParseArgsConfig, parseArgs } from 'node:util';
import { loadConfig } from '../config.ts';
import type { withDatabase } from '../db/by-hand.ts';

/** How a command ends: what a script can ask for in `$?`. */
export const EXIT = {
  done: 0,
  refusedRows: 1,
  usage: 2,
  noService: 3,
  taskFailed: 4,
  bug: 70,
  interrupted: 130,
  /** Of SIGPIPE, as other programs end when nobody reads what they write. */
  unread: 141,
} as const;

/** Ends the command. The message is for people, and goes to stderr. */
export class CommandError extends Error {
  readonly exitCode: number;

  constructor(exitCode: number, message: string) {
    super(message);
    this.exitCode = exitCode;
  }
}

export interface Option {
  short?: string;
  /** What stands for its value in the help; a switch has none. */
  value?: string;
  /** The only values there are. */
  oneOf?: readonly string[];
  help: string;
}

/** What a command is given, besides the process: its `stdout` is only for data, whatever is said goes to `stderr`. */
export interface Call {
  args: readonly string[];
  options: Readonly<Record<string, string | undefined>>;
  /** Aborted by the first Ctrl-C or SIGTERM; the second ends the process. */
  signal: AbortSignal;
}

export interface Command {
  name: string;
  /** As the help shows them: `FILE`; those in brackets may be left out. */
  args: string;
  help: string;
  options?: Readonly<Record<string, Option>>;
  /** Gives the exit code. */
  run(call: Call): Promise<number>;
}

/** @throws {CommandError} `usage` */
export function parseCall(command: Command, given: string[]): Pick<Call, 'args' | 'options'> {
  const known = command.options ?? {};
  const wrong = (what: string) => wrongUsage(command.name, what);
  const options: ParseArgsConfig['options'] = {};
  for (const [name, { value, short }] of Object.entries(known))
    options[name] = { type: value === undefined ? 'boolean' : 'string', ...(short && { short }) };
  let parsed: ReturnType<typeof parseArgs>;
  try {
    parsed = parseArgs({ args: given, options, allowPositionals: true });
  } catch (error) {
    throw wrong((error as Error).message);
  }
  const values: Record<string, string | undefined> = {};
  for (const [name, value] of Object.entries(parsed.values)) {
    const { oneOf } = known[name] ?? {};
    if (oneOf?.includes(`${value}`) === false)
      throw wrong(`--${name} is one of ${oneOf.join(', ')}, not ${value}`);
    values[name] = `${value}`;
  }
  const all = command.args.split(' ').filter((arg) => arg !== '');
  const [missing] = all.slice(parsed.positionals.length);
  if (missing !== undefined && !missing.startsWith('[')) throw wrong(`${missing} is missing`);
  if (parsed.positionals.length > all.length)
    throw wrong(`${parsed.positionals[all.length]} is one argument too many`);
  return { args: parsed.positionals, options: values };
}

export function wrongUsage(command: string, what: string): CommandError {
  return new CommandError(EXIT.usage, `${what}\nHow it is used: npm run muster -- help ${command}`);
}

/** @throws {CommandError} `usage` */
export function readWholeNumber(what: string, text: string, most: number): number {
  if (/^\d{1,16}$/.test(text) && Number(text) <= most) return Number(text);
  throw new CommandError(EXIT.usage, `${what} is a whole number from 0 to ${most}, not ${text}`);
}

/** Works on the database of DATABASE_URL itself, not through the service. What that needs is loaded when it is asked for. */
export async function onDatabase<T>(work: Parameters<typeof withDatabase<T>>[2]): Promise<T> {
  const { databaseUrl } = loadConfig();
  const [{ withDatabase }, { entities }] = await Promise.all([
    import('../db/by-hand.ts'),
    import('../entities.ts'),
  ]);
  return withDatabase(databaseUrl, entities, work);
}
