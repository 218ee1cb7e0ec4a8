import { createReadStream } from 'node:fs';
import { Ajv } from 'ajv';
import { parse } from 'csv-parse';
import { keysOf, type NewUser, newUserSchema } from '../../peers/api.ts';

/**
 * The process in which one peer imports a file: `node transfers/peers/turn.ts NAME FILE`. All of them read it with
 * csv-parse and check each row with Ajv; a batch of users and their changes is one transaction.
 */
export interface PeerResult {
  /** From the first byte that is read to the last commit. */
  ms: number;
  refused: number;
}

export interface UserValues extends Required<NewUser> {
  nameKey: string;
  emailKey: string;
  searchKey: string;
  version: number;
  createdAt: Date;
  updatedAt: Date;
}

/** Inserts users and a change for each, in one transaction. */
export type InsertUsers = (users: readonly UserValues[]) => Promise<unknown>;

/** Twenty times what Muster commits at once on SQLite: none of them has requests beside it. */
const BATCH_ROWS = 1000;

const [, , name, file = ''] = process.argv;
const { open }: { open(): Promise<InsertUsers> } = await import(`./${name}.ts`);
const insert = await open();
const isNewUser = new Ajv().compile(newUserSchema);
process.stdout.write(`${JSON.stringify(await importFile())}\n`);
process.exit(0); // its pool would keep the process

async function importFile(): Promise<PeerResult> {
  const from = performance.now();
  let refused = 0;
  let batch: UserValues[] = [];
  let header: string[] | undefined;
  const records: AsyncIterable<string[]> = createReadStream(file).pipe(parse({ relax_column_count: true }));
  for await (const cells of records) {
    if (header === undefined) {
      header = cells;
      continue;
    }
    const user = cells.length === header.length ? userOf(header, cells) : undefined;
    if (user === undefined || !isNewUser(user)) {
      refused++;
      continue;
    }
    batch.push(valuesOf(user));
    if (batch.length < BATCH_ROWS) continue;
    await insert(batch);
    batch = [];
  }
  if (batch.length > 0) await insert(batch);
  return { ms: performance.now() - from, refused };
}

function userOf(header: readonly string[], cells: readonly string[]): Required<NewUser> {
  const [name = '', email = ''] = cells;
  const attributes: Record<string, string> = {};
  for (let at = 2; at < cells.length; at++) {
    const cell = cells[at];
    if (cell) attributes[header[at] ?? ''] = cell;
  }
  return { name, email, attributes };
}

function valuesOf(user: Required<NewUser>): UserValues {
  const now = new Date();
  return { ...user, ...keysOf(user.name, user.email), version: 1, createdAt: now, updatedAt: now };
}
