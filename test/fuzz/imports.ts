import { isDeepStrictEqual } from 'node:util';
import { emailKey } from '../../src/users/keys.ts';
import type { User } from '../../src/users/users.schemas.ts';

/** A row of a file that was made of whole users. */
export interface Row {
  user: Kept;
  /** Whether `POST /users` would take it, by the document. */
  isValid: boolean;
}

type Kept = Pick<User, 'name' | 'email'> & { attributes?: User['attributes'] };

export interface HowToImport {
  onConflict: string;
  dryRun: boolean;
}

export interface ImportTask {
  state: string;
  /** Null unless it has succeeded. */
  result: object | null;
}

const MAX_ATTRIBUTES_BYTES = 16_384;

/** What must come of an import: row after row, in the simplest form. */
export function afterImport(
  rows: readonly Row[],
  { onConflict, dryRun }: HowToImport,
  directory: { users: ReadonlyMap<number, User>; owners: ReadonlyMap<string, number> },
) {
  const counts = { created: 0, updated: 0, unchanged: 0, skipped: 0, refused: 0 };
  /** By their emails' key: those that the rows have changed. */
  const users = new Map<string, Required<Kept>>();
  const there = (key: string) => users.get(key) ?? directory.users.get(directory.owners.get(key) ?? 0);
  let state = 'succeeded';
  for (const { user, isValid } of rows) {
    const key = emailKey(user.email ?? '');
    const before = isValid ? there(key) : undefined;
    if (!isValid) counts.refused++;
    else if (before === undefined) {
      counts.created++;
      users.set(key, { name: user.name, email: user.email, attributes: user.attributes ?? {} });
    } else if (onConflict === 'fail') {
      state = 'failed';
      break;
    } else if (onConflict === 'skip') counts.skipped++;
    else {
      const attributes = { ...before.attributes, ...user.attributes };
      const next = { name: user.name, email: user.email, attributes };
      const { name, email } = before;
      if (Buffer.byteLength(JSON.stringify(attributes)) > MAX_ATTRIBUTES_BYTES) counts.refused++;
      else if (isDeepStrictEqual(next, { name, email, attributes: before.attributes })) counts.unchanged++;
      else {
        counts.updated++;
        users.set(key, next);
      }
    }
  }
  const changes = dryRun ? 0 : counts.created + counts.updated;
  return { state, counts, changes, users: dryRun ? new Map<string, Required<Kept>>() : users };
}

/** The rows as a file of that type. */
export function fileOf(mediaType: string, rows: readonly object[]): Buffer {
  if (mediaType.endsWith('ndjson'))
    return Buffer.from(rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
  const cell = (value: unknown) => `"${String(value ?? '').replaceAll('"', '""')}"`;
  const lines = (rows as Kept[]).map(({ name, email, attributes }) =>
    [name, email, attributes && JSON.stringify(attributes)].map(cell).join(),
  );
  return Buffer.from(['name,email,attributes', ...lines, ''].join('\r\n'));
}
