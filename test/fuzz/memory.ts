import { readJson } from '../../src/db/json.ts';
import type { User } from '../../src/users/users.schemas.ts';
import { write } from './edits.ts';
import { fileOf } from './imports.ts';
import { type Body, pathNames, type Source, type Spelling, type Step } from './steps.ts';
import { readStrictly } from './strict-json.ts';

/** A request as it is sent. */
export interface Sent {
  step: Step;
  method: string;
  /** Path and query; Latin-1, as they are on the wire. */
  target: string;
  /** Values are Latin-1. Of a name there may be many. */
  headers: [name: string, value: string][];
  body?: Buffer;
  /** What the body is a file of, row by row, if it is one. */
  rows?: readonly object[];
}

/** What came back. */
export interface Answer {
  status: number;
  headers: Record<string, string | undefined>;
  text: string;
}

/** What the answers of one chain have given, for later requests of it. A new chain begins with nothing. */
export class Memory {
  #last: Sent | undefined;
  readonly #pools = new Map<string, unknown[]>();
  readonly #bearer: string;
  /** Not to be given away: without it the rest of the run would be 401. */
  readonly #secretId: string;

  constructor(bearer: string, secretId: string) {
    this.#bearer = bearer;
    this.#secretId = secretId;
  }

  learn(sent: Sent, { status, headers, text }: Answer): void {
    const { step, headers: asked } = sent;
    this.#last = sent;
    for (const [name, value] of asked) if (name === 'idempotency-key') this.#keep('idempotency-key', value);
    if (status >= 300) return;
    if (headers.etag !== undefined)
      for (const name of ['if-match', 'if-none-match']) this.#keep(name, headers.etag);
    const cursor = /[?&]after=([^&>]+)/.exec(headers.link ?? '')?.[1];
    if (cursor !== undefined) this.#keep(`after ${step.operation.path}`, decodeURIComponent(cursor));
    if (headers['muster-position'] !== undefined) this.#keep('at', headers['muster-position']);
    if (!headers['content-type']?.startsWith('application/json')) return;
    const collection = (headers.location ?? step.operation.path).split('/')[1] ?? '';
    const body: unknown = readJson(text === '' ? 'null' : text);
    for (const one of [body].flat().slice(0, 4)) this.#learnFrom(one, collection);
  }

  /** A user who is there already. */
  learnUser(user: User): void {
    this.#learnFrom(user, 'users');
    for (const name of ['if-match', 'if-none-match']) this.#keep(name, `"${user.version}"`);
  }

  #learnFrom(value: unknown, collection: string): void {
    if (typeof value !== 'object' || value === null) return;
    for (const [name, member] of Object.entries(value)) {
      if (member === this.#secretId) continue;
      if (name === 'id') this.#keep(`id ${plural(collection)}`, member);
      else if (name.endsWith('Id')) this.#keep(`id ${plural(name.slice(0, -2))}`, member);
      else if (name === 'key') this.#keep('authorization', `Bearer ${member}`);
      else if (typeof member !== 'object') this.#keep(name, member);
      else if (name === 'user') this.#learnFrom(member, 'users');
    }
  }

  #keep(kind: string, value: unknown): void {
    const pool = this.#pools.get(kind) ?? [];
    this.#pools.set(kind, pool);
    if (pool.push(value) > 30) pool.shift();
  }

  #known(kind: string, pick: number | undefined): unknown {
    const pool = this.#pools.get(kind) ?? [];
    return pick === undefined || pool.length === 0 ? undefined : pool[pool.length - 1 - (pick % pool.length)];
  }

  #textOf({ text, pick }: Source, kind: string): string {
    const known = this.#known(kind, pick);
    return known === undefined ? text : String(known);
  }

  /** The request that a step is by now. */
  resolve(step: Step): Sent {
    if (step.isAgain && this.#last !== undefined) return this.#last;
    const { operation } = step;
    const mainId = `id ${plural(operation.path.split('/')[1] ?? '')}`;
    let path = operation.path;
    for (const name of pathNames(operation)) {
      const value = this.#textOf(step.path[name] ?? { text: '' }, mainId);
      const spelt = value.startsWith('raw:') ? latin1(value.slice(4)) : encodeURIComponent(value);
      path = path.replace(`{${name}}`, () => spelt);
    }
    const query = step.query.map(([name, value]) => {
      const kind = name === 'after' ? `after ${operation.path}` : name;
      return `${spell(name, step.spelling)}=${spell(this.#textOf(value, kind), step.spelling)}`;
    });
    const target =
      step.target === undefined
        ? path + (query.length > 0 ? `?${query.join('&')}` : '')
        : latin1(step.target);
    const given = step.headers.map(([name, value]): [string, string] => {
      const lower = name.toLowerCase();
      return [lower, harmless(lower, this.#textOf(value, lower))];
    });
    // `inject` takes one of a name, and the value as the parser would give it.
    const headers = step.wire ? given : [...new Map(given.map(([name, value]) => [name, value.trim()]))];
    const { bytes: body, rows } = step.body ? this.#bodyOf(step.body) : {};
    const has = (name: string) => headers.some(([one]) => one === name);
    const isOfItsType = !has('content-type');
    if (step.body && isOfItsType) headers.push(['content-type', step.body.mediaType]);
    if (!has('authorization')) headers.push(['authorization', this.#bearer]);
    return {
      step,
      method: step.method ?? operation.method,
      target,
      headers,
      ...(body && { body }),
      ...(rows && isOfItsType && { rows }),
    };
  }

  #bodyOf({ mediaType, value, isFile, reuse, edits }: Body): { bytes: Buffer; rows?: readonly object[] } {
    const copy = structuredClone(value);
    if (reuse !== undefined) this.#putKnown(copy, reuse);
    if (!isFile || edits.length > 0) return { bytes: write(copy, edits) };
    const rows = copy as readonly object[];
    return { bytes: fileOf(mediaType, rows), rows: rows.map(asSent) };
  }

  #putKnown(value: unknown, { at, pick, how }: NonNullable<Body['reuse']>): void {
    const places = [value, ...Object.values(value ?? {})]
      .filter((one) => typeof one === 'object' && one !== null)
      .flatMap((holder) => Object.keys(holder).map((name) => ({ holder, name })))
      .map((place) => ({ ...place, known: this.#known(kindOf(place.name), pick) }))
      .filter(({ known }) => known !== undefined);
    const place = places[at % Math.max(1, places.length)];
    if (place === undefined) return;
    const { known } = place;
    const text = typeof known === 'string' ? known : undefined;
    const changed =
      how === 'upper' ? text?.toUpperCase() : how === 'decomposed' ? text?.normalize('NFD') : text;
    Reflect.set(place.holder, place.name, changed ?? known);
  }
}

/** -0 is sent as 0. */
function asSent(row: object): object {
  try {
    return readStrictly(Buffer.from(JSON.stringify(row))) as object;
  } catch {
    return row;
  }
}

function kindOf(name: string): string {
  return name.endsWith('Id') ? `id ${plural(name.slice(0, -2))}` : name;
}

function plural(name: string): string {
  return name.endsWith('s') ? name : `${name}s`;
}

function latin1(text: string): string {
  return Buffer.from(text).toString('latin1');
}

function spell(text: string, spelling: Spelling): string {
  if (spelling === 'all')
    return [...Buffer.from(text)].map((one) => `%${one.toString(16).padStart(2, '0')}`).join('');
  const encoded = encodeURIComponent(text.toWellFormed());
  return spelling === 'plus' ? encoded.replaceAll('%20', '+') : encoded;
}

/** A run shall not wait for a task, nor follow a stream. */
function harmless(name: string, value: string): string {
  if (name === 'prefer') return value.replace(/(wait\s*=\s*"?)\d+/gi, '$10');
  if (name === 'accept') return value.replaceAll('event-stream', 'event');
  return value;
}

/** All values of members with a name, in any depth. */
export function textsOf(value: unknown, name: string): string[] {
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([key, member]) =>
    key === name && typeof member !== 'object' ? [String(member)] : textsOf(member, name),
  );
}
