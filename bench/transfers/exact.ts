import { isDeepStrictEqual } from 'node:util';
import { seedUser } from '../database/seed.ts';
import { type Connection, connect } from './connection.ts';
import { brokenOf, numberOf, type PeopleFile, rowAt, rowsOf } from './people.ts';

/**
 * Whether the table, the log and the refused rows are exactly what a file says: each whole row is one user with one
 * change, each broken one is refused with its line and its bytes, those who were there before are as they were, and there
 * is nothing else. Read from the database row by row, and compared with what the file was made of.
 */
export async function requireExact(
  url: string,
  file: PeopleFile,
  { seeded, task }: { seeded: number; task?: number },
): Promise<void> {
  const db = await connect(url);
  try {
    const changes = await requireUsers(db, file, seeded);
    const [log] = await db.read<Record<'changes' | 'positions', number | string>>(
      'select count(*) as changes, count(distinct position) as positions from changes',
    );
    expect('changes', changes, Number(log?.changes));
    expect('positions', changes, Number(log?.positions));
    if (task !== undefined) await requireRefused(db, file, task);
  } finally {
    await db.close();
  }
}

/** Of a tool that only writes users. */
export async function requireUserCount(url: string, wanted: number): Promise<void> {
  const db = await connect(url);
  const [row] = await db.read<{ count: number | string }>('select count(*) as count from users');
  await db.close();
  expect('users', wanted, Number(row?.count));
}

interface JoinedRow {
  id: number;
  name: string;
  email: string;
  attributes: unknown;
  version: number;
  change: string | null;
  change_version: number | null;
  state: unknown;
}

const PAGE_IDS = 5000;

/** Gives the number of changes that were seen. */
async function requireUsers(db: Connection, { tag, rows }: PeopleFile, seeded: number): Promise<number> {
  const [last] = await db.read<{ id: number }>('select max(id) as id from users');
  const found = new Uint8Array(rows + 1);
  let [seeds, changes] = [0, 0];
  for (let after = 0; after < (last?.id ?? 0); after += PAGE_IDS) {
    const page = await db.read<JoinedRow>(
      `select u.id, u.name, u.email, u.attributes, u.version, c.type as change, c.version as change_version, c.state
       from users u left join changes c on c.user_id = u.id where u.id > ? and u.id <= ? order by u.id`,
      [after, after + PAGE_IDS],
    );
    for (const row of page) {
      if (row.change !== null) changes++;
      if (row.id <= seeded) {
        seeds++;
        const { name, email, attributes } = seedUser(row.id);
        const seed = { name, email, attributes: JSON.parse(attributes), version: 1, change: null };
        expect(`the user ${row.id}, who was there before`, seed, { ...whoIs(row), change: row.change });
        continue;
      }
      const n = numberOf(row.email, tag) ?? 0;
      if (n === 0 || n > rows) throw new Error(`nobody asked for the user ${row.email}`);
      found[n] = Math.min(2, (found[n] ?? 0) + 1);
      const wanted = { ...rowAt(n, tag).person, version: 1 };
      expect(`the user of row ${n}`, wanted, whoIs(row));
      expect(`the change of row ${n}`, ['user.created', 1], [row.change, row.change_version]);
      const state = fromJson(row.state) as JoinedRow;
      expect(`the state of row ${n}`, { id: row.id, ...wanted }, { id: state.id, ...whoIs(state) });
    }
  }
  expect('users who were there before', seeded, seeds);
  for (let n = 1; n <= rows; n++) {
    expect(`users of row ${n}, with their changes`, rowAt(n, tag).person === undefined ? 0 : 1, found[n]);
  }
  return changes;
}

async function requireRefused(db: Connection, file: PeopleFile, task: number): Promise<void> {
  const refused = await db.read<{ line: number; reason: string; row: Buffer }>(
    'select line, reason, row from import_errors where task_id = ? order by line',
    [task],
  );
  const [all] = await db.read<{ count: number | string }>('select count(*) as count from import_errors');
  expect('refused rows', brokenOf(file), refused.length);
  expect('refused rows of all tasks', brokenOf(file), Number(all?.count));
  let at = 0;
  for (const { line, text, person } of rowsOf(file)) {
    if (person !== undefined) continue;
    const { line: found, row, reason } = refused[at++] ?? {};
    expect(`refused row ${at}`, [line, text, true], [found, row?.toString(), Boolean(reason)]);
  }
}

function whoIs({ name, email, attributes, version }: JoinedRow) {
  return { name, email, attributes: fromJson(attributes), version };
}

function fromJson(value: unknown): unknown {
  return typeof value === 'string' ? JSON.parse(value) : value;
}

function expect(what: string, wanted: unknown, found: unknown): void {
  if (isDeepStrictEqual(found, wanted)) return;
  throw new Error(`${what}: ${JSON.stringify(found)} instead of ${JSON.stringify(wanted)}`);
}
