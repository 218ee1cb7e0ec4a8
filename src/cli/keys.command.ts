import { Refusal } from '../errors.ts';
import { SCOPES } from '../http/access.ts';
import { type Call, type Command, CommandError, EXIT, onDatabase, wrongUsage } from './command.ts';

/** The database itself, for the first key: then there is none yet to ask the service with. */
export const keys: Command = {
  name: 'keys',
  args: 'ACTION [ID]',
  help: 'makes, lists or revokes API keys (ACTION: create, list, revoke) in the database of DATABASE_URL',
  options: {
    name: { value: 'NAME', help: 'create: what the key is for' },
    scopes: { value: 'A,B', help: `create: what it may do; of ${SCOPES.join(', ')}` },
    expires: {
      value: 'TIME',
      help: 'create: until when it is good, as in 2027-12-31T00:00:00Z; else until it is revoked',
    },
  },
  async run({ args: [action, id], options }) {
    if (action !== 'revoke' && id !== undefined) throw usage(`${id} is one argument too many`);
    const { createKey, listKeys, revokeKey } = await import('../keys/keys.ts');
    switch (action) {
      case 'create': {
        const wanted = readNewKey(options);
        const made = await onDatabase(({ write }) => write((tx) => createKey(tx, wanted)));
        process.stderr.write(`Key ${made.id} may ${made.scopes.join(', ')}. It is shown this once:\n`);
        process.stdout.write(`${made.key}\n`);
        return EXIT.done;
      }
      case 'list': {
        const all = await onDatabase(({ reader }) => listKeys(reader));
        for (const key of all) process.stdout.write(`${JSON.stringify(key)}\n`);
        return EXIT.done;
      }
      case 'revoke':
        if (id === undefined) throw usage('ID is missing');
        await onDatabase(({ write }) => write((tx) => revokeKey(tx, id))).catch((error) => {
          throw error instanceof Refusal ? new CommandError(EXIT.noService, error.message) : error;
        });
        return EXIT.done;
      default:
        throw usage(`ACTION is one of create, list, revoke, not ${action}`);
    }
  },
};

function readNewKey({ name = '', scopes = '', expires }: Call['options']) {
  if (!/^[^\p{Cc}]{1,100}$/u.test(name)) throw usage('--name is what the key is for, in 1 to 100 characters');
  const wanted = scopes.split(',').map((scope) => SCOPES.find((one) => one === scope.trim()));
  const known = wanted.filter((scope) => scope !== undefined);
  if (known.length < wanted.length) throw usage(`--scopes are some of ${SCOPES.join(',')}, not ${scopes}`);
  const expiresAt = expires === undefined ? undefined : new Date(expires);
  if (expiresAt !== undefined && !(expiresAt.getTime() > Date.now())) {
    throw usage(`--expires is a time in the future, as in 2027-12-31T00:00:00Z, not ${expires}`);
  }
  return { name, scopes: known, ...(expiresAt !== undefined && { expiresAt }) };
}

function usage(what: string): CommandError {
  return wrongUsage('keys', what);
}
