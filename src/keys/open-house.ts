import type { FastifyRequest } from 'fastify';
import { Forbidden } from '../errors.ts';

/*
 * Without any key, on loopback only, the service is open: to programs of this machine, not to web pages that its
 * browsers show. A page of another site can have a browser send requests here, and by a name of its own that it lets
 * point here (DNS rebinding) even read the answers.
 */

export function isLoopback(host: string): boolean {
  const name = host.toLowerCase().replace(/^\[(.+)\]$/, '$1');
  return name === 'localhost' || name === '::1' || /^127(\.\d{1,3}){3}$/.test(name);
}

/** What is wrong with a request to an open service, or undefined. */
export function foreignness({ headers, url }: FastifyRequest): Forbidden | undefined {
  // Of an absolute URL the host counts, not the header (RFC 9112 §3.2.2).
  const host = /^[a-z][a-z\d+.-]*:\/\/([^/?#]*)/i.exec(url)?.[1] ?? headers.host ?? 'localhost';
  if (!isLoopback(host.replace(/:\d+$/, '')))
    return new Forbidden('foreign-host', 'Without keys only requests to a loopback address are answered.');
  if (PROXIED.some((name) => headers[name] !== undefined))
    return new Forbidden('via-proxy', 'Without keys no requests are answered that come through a proxy.');
  const { origin = `http://${host}`, 'sec-fetch-site': site = 'none' } = headers;
  if ((site !== 'same-origin' && site !== 'none') || origin !== `http://${host}`)
    return new Forbidden('foreign-page', 'Without keys no requests from pages of other sites are answered.');
  return undefined;
}

/** What a proxy says of the client for whom it asks: anybody, anywhere. One that says nothing is not noticed. */
const PROXIED = ['forwarded', 'via', 'x-forwarded-for', 'x-forwarded-host', 'x-forwarded-proto', 'x-real-ip'];
