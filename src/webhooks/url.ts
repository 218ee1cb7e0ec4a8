import type { Invalid } from '../errors.ts';
import { invalidBody } from '../http/problems.ts';
import type { Networks } from './networks.ts';

/**
 * Refuses what can never be sent to. The URL parser (WHATWG) writes an IPv4 address in one way however it is spelled,
 * `0x7f.1` and `2130706433` too. Where a name leads is seen when connecting, and only then.
 * @throws {Invalid}
 */
export function checkUrl(url: string, networks: Networks): void {
  if (!URL.canParse(url)) throw badUrl('is no URL');
  const { username, password, hostname } = new URL(url);
  if (username !== '' || password !== '') throw badUrl('must hold neither a user nor a password');
  const refusal = networks.refusalOf(hostname);
  if (refusal !== undefined) throw badUrl(refusal.message);
}

export function badUrl(detail: string): Invalid {
  return invalidBody('#/url', detail);
}
