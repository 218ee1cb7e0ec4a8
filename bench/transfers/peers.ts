import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { BENCH } from '../servers.ts';
import type { PeerResult } from './peers/turn.ts';
import { brokenOf, type PeopleFile } from './people.ts';

const run = promisify(execFile);

/** Other ORMs, by their own way of inserting many rows. */
export const PEERS = ['drizzle', 'prisma', 'mikro-orm', 'typeorm'] as const;
export type Peer = (typeof PEERS)[number];

/** Gives the rows a second, of a process of its own. */
export async function importByPeer(peer: Peer, url: string, path: string, file: PeopleFile): Promise<number> {
  const { stdout } = await run(process.execPath, ['transfers/peers/turn.ts', peer, path], {
    cwd: BENCH,
    env: { ...process.env, NODE_ENV: 'production', DATABASE_URL: url },
  }).catch(({ message }) => {
    throw new Error(/^\w*Error: .*/m.exec(message)?.[0] ?? message); // without all of its stack
  });
  const { ms, refused }: PeerResult = JSON.parse(stdout);
  if (refused !== brokenOf(file))
    throw new Error(`${refused} rows were refused instead of ${brokenOf(file)}`);
  return (file.rows / ms) * 1000;
}
