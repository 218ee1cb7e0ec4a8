import { hash } from 'node:crypto';
import type { EntityManager } from '@mikro-orm/sql';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { readJson } from '../db/json.ts';
import { mentions, type Person } from '../db/personal.ts';
import { execute } from '../db/statement.ts';
import type { Tx } from '../db/tx.ts';
import { Conflict, Invalid } from '../errors.ts';
import type { StoredAnswer } from './idempotency.entity.ts';
import { invalidJson, invalidParameter } from './problems.ts';

/** The request headers of a route that creates something. */
export const IdempotencyHeaders = {
  type: 'object',
  properties: {
    'idempotency-key': {
      type: 'string',
      minLength: 1,
      maxLength: 255,
      pattern: '^[\\x21-\\x7e]+$',
      description:
        '1–255 visible ASCII characters of the client’s choice: ' +
        'the same key and body create once, and get the same answer',
      examples: ['5f0c3a52-1b7e-4c7d-9a53-0f6f0c1d2e3f'],
    },
  },
} as const;

export const idempotencyHeader = {
  'Idempotent-Replayed': {
    type: 'string',
    enum: ['true'],
    description:
      'present when this is the stored answer to an earlier request with the same `Idempotency-Key`',
    examples: ['true'],
  },
} as const;

export type Answer<Body> = StoredAnswer & { body: Body };

/** What a route that creates something refuses, whatever that is. */
export const refusedCreate = () =>
  [
    invalidJson(),
    invalidParameter('headers', '#/idempotency-key', 'must NOT have more than 255 characters'),
    keyInUse(),
    413,
    keyReused(),
  ] as const;

/** Creates something in a transaction, once for an `Idempotency-Key`, and answers. */
export async function createOnce<Body>(
  request: FastifyRequest,
  reply: FastifyReply,
  create: (tx: Tx) => Promise<Answer<Body>>,
): Promise<Body> {
  return sendAnswer(reply, await request.server.write((tx) => onceForKey(tx, request, () => create(tx))));
}

export function sendAnswer<Body>(reply: FastifyReply, answer: Answer<Body>): Body {
  reply.code(answer.status).headers(answer.headers);
  return answer.body;
}

/**
 * Runs `create` and keeps its answer under the request's `Idempotency-Key`, in the same transaction
 * (draft-ietf-httpapi-idempotency-key-header). Only success is kept: what was refused created nothing.
 *
 * The key is claimed before anything else is written: on PostgreSQL a second request with it waits here until the
 * first has committed, and then finds the answer. `body` stands for a body that is not kept in memory.
 * @throws {Invalid} `idempotency-key-reused` for the same key with another request
 * @throws {Conflict} `idempotency-key-in-use` while the first request still runs
 */
export async function onceForKey<Body>(
  tx: Tx,
  request: FastifyRequest,
  create: () => Promise<Answer<Body>>,
  body: unknown = request.body,
): Promise<Answer<Body>> {
  const given = request.headers['idempotency-key'];
  if (typeof given !== 'string') return create();
  const key = keptKey(given, request);
  const fingerprint = fingerprintOf(request, body);
  const claimed = await tx.execute(
    'insert into idempotency_records (key, fingerprint, created_at) values (?, ?, ?) on conflict do nothing returning key',
    [key, fingerprint, new Date()],
  );
  if (claimed.length === 0) {
    const stored = await storedAnswer<Body>(tx, key, fingerprint);
    return stored ?? onceForKey(tx, request, create, body); // pruned since: the key is free again
  }
  const answer = await create().catch(async (error) => {
    // Refused, and nothing was created: the key is free again. After a failed statement the transaction takes no more
    // statements, and will not be committed either.
    await tx.execute('delete from idempotency_records where key = ?', [key]).catch(() => {});
    throw error;
  });
  await tx.execute('update idempotency_records set answer = ? where key = ?', [JSON.stringify(answer), key]);
  return answer;
}

async function storedAnswer<Body>(
  tx: Tx,
  key: string,
  fingerprint: string,
): Promise<Answer<Body> | undefined> {
  const [record] = await tx.execute<{ fingerprint: string; answer: string | null }>(
    'select fingerprint, cast(answer as text) as answer from idempotency_records where key = ?',
    [key],
  );
  if (record === undefined) return undefined;
  if (record.fingerprint !== fingerprint) throw keyReused();
  if (record.answer === null) throw keyInUse();
  const { status, headers, body } = readJson(record.answer) as StoredAnswer;
  return { status, headers: { ...headers, 'idempotent-replayed': 'true' }, body: body as Body };
}

/** Forgets the answers that were given before `time`, at most so many, and says how many it was. */
export async function pruneAnswers(em: EntityManager, time: Date, most: number): Promise<number> {
  const rows = await execute<unknown>(
    em,
    `delete from idempotency_records where key in (select key from idempotency_records where created_at < ?
       order by created_at limit ?) returning key`,
    [time, most],
  );
  return rows.length;
}

/** Records that are looked through in one transaction: on SQLite other writes wait meanwhile. */
const WINDOW = 200;

/**
 * Forgets, of the records after a key, one window of them, the answers that mention a person; gives where to go on, and
 * undefined at the end. The keys stay used: a late repetition is refused, and creates nobody anew.
 */
export async function eraseFromAnswers(tx: Tx, person: Person, after: string): Promise<string | undefined> {
  const rows = await tx.execute<{ key: string; answer: string | null }>(
    'select key, cast(answer as text) as answer from idempotency_records where key > ? order by key limit ?',
    [after, WINDOW],
  );
  for (const { key, answer } of rows) {
    if (answer === null || !mentions(answer, person)) continue;
    if (isOfAnother(readJson(answer), person)) continue;
    tx.changed();
    await tx.execute(`update idempotency_records set fingerprint = '', answer = null where key = ?`, [key]);
  }
  return rows.at(-1)?.key;
}

/** Whether it shows somebody else, who has one of the person's emails now. */
function isOfAnother(value: unknown, person: Person): boolean {
  if (typeof value !== 'object' || value === null) return false;
  if ('id' in value && 'email' in value && typeof value.email === 'string' && mentions(value.email, person)) {
    return value.id !== person.userId;
  }
  return Object.values(value).some((one) => isOfAnother(one, person));
}

export function keyReused(): Invalid {
  return new Invalid('idempotency-key-reused', 'This Idempotency-Key was used for another request.');
}

export function keyInUse(): Conflict {
  return new Conflict('idempotency-key-in-use', 'A request with this Idempotency-Key still runs.');
}

/** Each client has keys of its own. What is kept is a hash: some make their keys of whom they create. */
function keptKey(given: string, { access }: FastifyRequest): string {
  return hash('sha256', JSON.stringify([access.actor, given]), 'base64url');
}

function fingerprintOf({ routeOptions: { method, url } }: FastifyRequest, body: unknown): string {
  return hash('sha256', JSON.stringify([method, url, body]), 'base64url');
}
