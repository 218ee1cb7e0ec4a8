import { randomBytes } from 'node:crypto';
import type { Reader } from '../db/reader.ts';
import type { Tx } from '../db/tx.ts';
import { Gone } from '../errors.ts';

/*
 * The epoch names one life of the log. A database that is restored from a backup goes back in time: positions that
 * followers have seen are given again, to other changes, and nobody could tell. So a restored log gets another epoch:
 * `backup` leaves it empty in the copy, and whoever starts on an empty one gives it a new name. For copies that were made
 * in other ways there is `restored`.
 */

type Write = <T>(work: (tx: Tx) => Promise<T>) => Promise<T>;

/** Of any number of replicas that start at once on a restored database, one names the epoch. */
export async function nameEpoch(reader: Reader, write: Write): Promise<void> {
  const [row] = await reader.read<{ epoch: string }>('select epoch from change_log', []);
  if (row?.epoch === '') await write((tx) => setEpoch(tx, `where epoch = ''`));
}

/** What has been restored by hand begins a new epoch. */
export async function beginEpoch(tx: Tx): Promise<void> {
  await setEpoch(tx, '');
}

async function setEpoch(tx: Tx, where: string): Promise<void> {
  tx.changed();
  await tx.execute(`update change_log set epoch = ? ${where}`, [randomBytes(8).toString('hex')]);
}

export function epochGone(): Gone {
  return new Gone(
    'epoch-gone',
    'The directory was restored from a backup: its log is another one. Read GET /users, and go on from its Muster-Position.',
  );
}
