import { backup, check, restored } from './backup.command.ts';
import { type Command, CommandError, EXIT } from './command.ts';
import { exportUsers } from './export.command.ts';
import { errors, importUsers } from './import.command.ts';
import { keys } from './keys.command.ts';
import { sample } from './sample.command.ts';

/** Every command, in the order of the help. */
const COMMANDS: readonly Command[] = [
  importUsers,
  errors,
  exportUsers,
  sample,
  keys,
  backup,
  check,
  restored,
  {
    name: 'help',
    args: '[COMMAND]',
    help: 'says how a command is used, or lists them all',
    async run({ args: [name] }) {
      process.stdout.write(name === undefined ? overview() : usage(findCommand(name)));
      return EXIT.done;
    },
  },
];

/** @throws {CommandError} `usage` */
export function findCommand(name: string): Command {
  const found = COMMANDS.find((command) => command.name === name);
  if (found === undefined)
    throw new CommandError(EXIT.usage, `There is no command ${name}.\n\n${overview()}`);
  return found;
}

export function overview(): string {
  const lines = COMMANDS.map(({ name, args, help }) => [`${name} ${args}`, help] as const);
  return `npm run muster -- COMMAND

${table(lines)}
From the environment:
${table([
  ['MUSTER_URL', 'where the service is (http://127.0.0.1:3000)'],
  ['MUSTER_KEY', 'the key to be let in with'],
])}
Exit codes:
${table([
  ['0', 'done; of an import: all rows went in'],
  ['1', 'an import is done, and some rows were refused'],
  ['2', 'wrong usage, or a file that cannot be read or written'],
  ['3', 'the service refused, cannot be reached, or was lost'],
  ['4', 'the task failed, or somebody else cancelled it'],
  ['70', 'a fault of the command itself'],
  ['130', 'interrupted: Ctrl-C cancels the task and waits for its end, a second one does not wait'],
])}`;
}

function usage({ name, args, help, options = {} }: Command): string {
  const lines = Object.entries(options).map(([option, { short, value = '', oneOf, help }]) => {
    const shortly = short === undefined ? '' : `-${short}, `;
    return [
      `${shortly}--${option} ${value}`,
      oneOf === undefined ? help : `${help}: ${oneOf.join(', ')}`,
    ] as const;
  });
  return `npm run muster -- ${name} ${args}${lines.length > 0 ? ' [OPTIONS]' : ''}\n\n${help}\n\n${table(lines)}`;
}

function table(lines: readonly (readonly [string, string])[]): string {
  const width = Math.max(...lines.map(([left]) => left.length));
  return lines.map(([left, right]) => `  ${left.padEnd(width)}  ${right}\n`).join('');
}
