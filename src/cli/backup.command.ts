import { resolve } from 'node:path';
import { loadConfig } from '../config.ts';
import { type Command, EXIT, onDatabase } from './command.ts';

/** They work on the database of DATABASE_URL itself, not through the service. */
export const backup: Command = {
  name: 'backup',
  args: 'FILE',
  help: 'copies the SQLite database of DATABASE_URL to a new file, also while the service runs',
  async run({ args: [file = ''] }) {
    const { backupTo } = await import('../db/backup.ts');
    await backupTo(loadConfig().databaseUrl, resolve(file));
    process.stderr.write(`${file} holds all that was committed when it was begun.\n`);
    return EXIT.done;
  },
};

export const check: Command = {
  name: 'check',
  args: '',
  help: 'reads all of the SQLite database of DATABASE_URL and says what is damaged, also while the service runs',
  async run() {
    const { checkDatabase } = await import('../db/check.ts');
    checkDatabase(loadConfig().databaseUrl);
    process.stderr.write('Every page was read, and nothing is damaged.\n');
    return EXIT.done;
  },
};

export const restored: Command = {
  name: 'restored',
  args: '',
  help: 'tells followers that the database of DATABASE_URL was restored from a copy that `backup` has not made',
  async run() {
    const { beginEpoch } = await import('../changes/epoch.ts');
    await onDatabase(({ write }) => write(beginEpoch));
    process.stderr.write('The log has a new epoch: who follows it with the old one is told to begin anew.\n');
    return EXIT.done;
  },
};
