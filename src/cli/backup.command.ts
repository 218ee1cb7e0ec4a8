import { resolve } from 'node:path';
import { type Command, CommandError, EXIT } from './command.ts';

/** They work on the database of DATABASE_URL itself, not through the service. */
export const backup: Command = {
  name: 'backup',
  args: 'FILE',
  help: 'copies the SQLite database of DATABASE_URL to a new file, also while the service runs',
  async run({ args: [file, ...more], stderr }) {
    if (file === undefined || more.length > 0) throw usage('backup', 'one FILE is wanted');
    const [{ loadConfig }, { backupTo }] = await Promise.all([
      import('../config.ts'),
      import('../db/backup.ts'),
    ]);
    await backupTo(loadConfig().databaseUrl, resolve(file));
    stderr.write(`${file} holds all that was committed when it was begun.\n`);
    return EXIT.done;
  },
};

export const check: Command = {
  name: 'check',
  args: '',
  help: 'reads all of the SQLite database of DATABASE_URL and says what is damaged, also while the service runs',
  async run({ args, stderr }) {
    if (args.length > 0) throw usage('check', `${args[0]} is one argument too many`);
    const [{ loadConfig }, { checkDatabase }] = await Promise.all([
      import('../config.ts'),
      import('../db/check.ts'),
    ]);
    checkDatabase(loadConfig().databaseUrl);
    stderr.write('Every page was read, and nothing is damaged.\n');
    return EXIT.done;
  },
};

export const restored: Command = {
  name: 'restored',
  args: '',
  help: 'tells followers that the database of DATABASE_URL was restored from a copy that `backup` has not made',
  async run({ args, stderr }) {
    if (args.length > 0) throw usage('restored', `${args[0]} is one argument too many`);
    const [{ loadConfig }, { withDatabase }, { entities }, { beginEpoch }] = await Promise.all([
      import('../config.ts'),
      import('../db/by-hand.ts'),
      import('../entities.ts'),
      import('../changes/epoch.ts'),
    ]);
    await withDatabase(loadConfig().databaseUrl, entities, ({ write }) => write(beginEpoch));
    stderr.write('The log has a new epoch: who follows it with the old one is told to begin anew.\n');
    return EXIT.done;
  },
};

function usage(command: string, what: string): CommandError {
  return new CommandError(EXIT.usage, `${what}\nHow it is used: npm run muster -- help ${command}`);
}
