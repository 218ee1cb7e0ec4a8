import { isIPv6 } from 'node:net';
import type { FastifyRequest } from 'fastify';

/** Whom a limit is for: the key or token that a request was let in with, or the address where it needed none. */
export function limitKey(request: FastifyRequest): string {
  return request.access?.actor ?? addressKey(request);
}

/**
 * The address that a request comes from, behind the proxies of `TRUST_PROXY`. Who has an IPv6 address has 2⁶⁴ of them, so
 * what counts is the network.
 */
export function addressKey({ ip }: FastifyRequest): string {
  return ip.includes(':') ? networkOf(ip) : ip;
}

/** The first 64 bits; of an IPv4 address written as IPv6, that address. */
function networkOf(ip: string): string {
  const [address = ''] = ip.split('%', 1);
  if (!isIPv6(address)) return ip;
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1];
  if (mapped !== undefined) return mapped;
  // `::` stands for as many groups of zeros as are missing, an IPv4 address at the end for two groups.
  const sides = address.replace(/\d+\.\d+\.\d+\.\d+$/, '0:0').split('::');
  const [left = [], right = []] = sides.map((side) => side.split(':').filter((group) => group !== ''));
  const zeros = new Array<string>(8 - left.length - right.length).fill('0');
  const groups = [...left, ...zeros, ...right].slice(0, 4);
  return `${groups.map((group) => Number.parseInt(group, 16).toString(16)).join(':')}::/64`;
}
