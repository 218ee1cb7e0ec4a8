import { hash, randomBytes, randomInt, timingSafeEqual } from 'node:crypto';
import { toDate } from '../db/dialect.ts';
import { readJson } from '../db/json.ts';
import type { Reader } from '../db/reader.ts';
import type { Tx } from '../db/tx.ts';
import { type Invalid, NotFound } from '../errors.ts';
import type { Scope } from '../http/access.ts';
import { invalidBody } from '../http/problems.ts';

export interface KeyRow {
  id: string;
  name: string;
  hash: string;
  scopes: string;
  created_at: unknown;
  expires_at: unknown;
  last_used_at: unknown;
  revoked_at: unknown;
}

const COLUMNS = `id, name, hash, cast(scopes as text) as scopes, created_at, expires_at, last_used_at, revoked_at`;

/** Rung when a key was made or revoked: whoever remembers keys forgets what they know. */
export const KEYS = 'keys';

/** Creates a key, and gives it as well: it is nowhere to be read again. */
export async function createKey(
  tx: Tx,
  { name, scopes, expiresAt }: { name: string; scopes: readonly Scope[]; expiresAt?: Date },
) {
  if (expiresAt !== undefined && expiresAt.getTime() <= Date.now()) throw expiryIsPast();
  const id = Array.from({ length: 12 }, () => ALPHABET[randomInt(ALPHABET.length)]).join('');
  const key = `mk_${id}_${randomBytes(32).toString('base64url')}`;
  const view = { id, name, scopes: [...new Set(scopes)], createdAt: new Date() };
  tx.changed();
  await tx.execute(
    'insert into api_keys (id, name, hash, scopes, created_at, expires_at) values (?, ?, ?, ?, ?, ?)',
    [id, name, hashOf(key), JSON.stringify(view.scopes), view.createdAt, expiresAt ?? null],
  );
  tx.ring(KEYS);
  return { ...view, ...(expiresAt && { expiresAt }), key };
}

export async function listKeys(reader: Reader) {
  const rows = await reader.read<KeyRow>(`select ${COLUMNS} from api_keys order by created_at, id`, []);
  return rows.map(keyView);
}

/** A key as it is shown, also one that has been revoked. */
export async function showKey(reader: Reader, id: string) {
  const row = await findKey(reader, id);
  if (row === undefined) throw keyNotFound(id);
  return keyView(row);
}

/** @throws {NotFound} `key-not-found` also when it has been revoked before */
export async function revokeKey(tx: Tx, id: string): Promise<void> {
  tx.changed();
  const rows = await tx.execute<unknown>(
    'update api_keys set revoked_at = ? where id = ? and revoked_at is null returning id',
    [new Date(), id],
  );
  if (rows.length === 0) throw keyNotFound(id);
  tx.ring(KEYS);
}

export async function findKey(reader: Reader, id: string): Promise<KeyRow | undefined> {
  return (await reader.read<KeyRow>(`select ${COLUMNS} from api_keys where id = ?`, [id]))[0];
}

/** Whether there is a key, or was one. */
export async function hasKeys(reader: Reader): Promise<boolean> {
  return (await reader.read('select 1 as one from api_keys limit 1', [])).length > 0;
}

/** The id of what has the form of a key. */
export function idOf(key: string): string | undefined {
  return /^mk_([a-z0-9]{12})_[\w-]{43}$/.exec(key)?.[1];
}

/** Whether this is that key, and it has neither expired nor been revoked. In constant time. */
export function isGood(row: KeyRow, key: string): boolean {
  const isSame = timingSafeEqual(Buffer.from(row.hash), Buffer.from(hashOf(key)));
  return isSame && isValid(row);
}

export function isValid(row: KeyRow): boolean {
  const isOver = row.expires_at !== null && toDate(row.expires_at).getTime() <= Date.now();
  return !isOver && row.revoked_at === null;
}

const ALPHABET = 'abcdefghijklmnopqrstuvwxyz0123456789';

function hashOf(key: string): string {
  return hash('sha256', key, 'base64url');
}

/** A key as it is shown; the key itself is not. */
function keyView(row: KeyRow) {
  return {
    id: row.id,
    name: row.name,
    scopes: readJson(row.scopes) as Scope[],
    createdAt: toDate(row.created_at),
    ...(row.expires_at !== null && { expiresAt: toDate(row.expires_at) }),
    ...(row.last_used_at !== null && { lastUsedAt: toDate(row.last_used_at) }),
    ...(row.revoked_at !== null && { revokedAt: toDate(row.revoked_at) }),
  };
}

export function keyNotFound(id: string): NotFound {
  return new NotFound('key-not-found', `There is no key ${id}, or it has been revoked.`);
}

export function expiryIsPast(): Invalid {
  return invalidBody('#/expiresAt', 'must be in the future');
}
