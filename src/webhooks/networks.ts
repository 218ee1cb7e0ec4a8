import { BlockList, isIP } from 'node:net';

/**
 * What is no public IPv4 address: the IANA Special-Purpose Address Registry (RFC 6890) where it says that a block is not
 * globally reachable, multicast, and the address at which Azure answers its machines with their secrets.
 */
const PRIVATE_IPV4 =
  '0.0.0.0/8,10.0.0.0/8,100.64.0.0/10,127.0.0.0/8,169.254.0.0/16,172.16.0.0/12,192.0.0.0/24,192.0.2.0/24,' +
  '192.88.99.0/24,192.168.0.0/16,198.18.0.0/15,198.51.100.0/24,203.0.113.0/24,224.0.0.0/4,240.0.0.0/4,168.63.129.16/32';
/**
 * Of IPv6 only 2000::/3 is given to anybody, which leaves out every form that carries an IPv4 address but these: Teredo
 * (with all of 2001::/23) and 6to4. The others are for documents.
 */
const GLOBAL_IPV6 = '2000::/3';
const PRIVATE_IPV6 = '2001::/23,2001:db8::/32,2002::/16,3fff::/20';

/** CIDR blocks separated by commas, or `none`; undefined when it is neither. */
export function readNetworks(text: string): BlockList | undefined {
  const list = new BlockList();
  if (text === 'none') return list;
  for (const block of text.split(',')) {
    const [, address = '', bits = ''] = /^([0-9a-f.:]+)\/(\d{1,3})$/i.exec(block.trim()) ?? [];
    const version = isIP(address);
    if (version === 0 || Number(bits) > (version === 4 ? 32 : 128)) return undefined;
    list.addSubnet(address, Number(bits), version === 4 ? 'ipv4' : 'ipv6');
  }
  return list;
}

/** Which addresses a webhook may reach. */
export class Networks {
  readonly #allowed: BlockList;
  readonly #private = networks(`${PRIVATE_IPV4},${PRIVATE_IPV6}`);
  readonly #global = networks(GLOBAL_IPV6);

  constructor(allowed: string) {
    this.#allowed = networks(allowed);
  }

  /** Whether an address, as the socket or the resolver tells it, is public or was allowed. No name is an address. */
  admits(address: string): boolean {
    const version = isIP(address);
    // A zone (`fe80::1%eth0`) belongs to one link.
    if (version === 0 || address.includes('%')) return false;
    const family = version === 4 ? 'ipv4' : 'ipv6';
    if (this.#allowed.check(address, family)) return true;
    if (version === 6 && !this.#global.check(address, family)) return false;
    return !this.#private.check(address, family);
  }

  /** What is wrong with the host of a URL, or undefined. Where a name leads is seen when connecting. */
  refusalOf(hostname: string): Error | undefined {
    const host = hostname.replace(/^\[|\]$/g, '');
    return isIP(host) === 0 || this.admits(host) ? undefined : notPublic(host);
  }
}

export function notPublic(address: string): Error {
  return new Error(`${address} is not a public address (see WEBHOOK_ALLOWED_NETWORKS).`);
}

function networks(text: string): BlockList {
  const list = readNetworks(text);
  if (list === undefined) throw new Error(`${text} is no list of networks`);
  return list;
}
