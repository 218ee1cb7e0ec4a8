import createClient, { type Client, type ClientOptions } from 'openapi-fetch';
import type { components, paths } from './schema.d.ts';

export type User = components['schemas']['User'];
export type NewUser = components['schemas']['NewUser'];
export type UserPatch = components['schemas']['UserPatch'];
/** What every refused request is answered with (RFC 9457). */
export type Problem = components['schemas']['Problem'];

export type MusterClient = Client<paths>;

/**
 * A client for the Muster at `baseUrl`: `client.GET('/users/{id}', { params: { path: { id: 1 } } })` gives
 * `{ data, error, response }`, of which `error` is a `Problem`. Other options are those of openapi-fetch.
 */
export function createMusterClient(options: ClientOptions & { baseUrl: string }): MusterClient {
  return createClient<paths>(options);
}

/** The cursor of the next page for `after`, from a list's `Link` header (RFC 8288); undefined on the last page. */
export function nextPage({ headers }: { headers: Headers }): string | undefined {
  const target = /<([^>]*)>\s*;\s*rel="next"/.exec(headers.get('link') ?? '')?.[1];
  if (target === undefined) return undefined;
  return new URL(target, 'http://localhost').searchParams.get('after') ?? undefined;
}
