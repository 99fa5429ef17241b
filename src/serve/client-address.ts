/**
 * Who sent a request: the address of its connection, or, where a trusted proxy stands in front, the one that the proxy
 * names in `X-Forwarded-For`. Only what trusted proxies have added counts, so that nobody can write an address for another.
 */
import { BlockList, isIP } from 'node:net';

/**
 * `trusted`: addresses and networks (`10.0.0.0/8`). The header is read from its end, where the nearest proxy writes, up to
 * the first address that is not trusted. Empty where the connection has no address.
 */
export function clientAddress(
  remoteAddress: string | undefined,
  forwardedFor: string | undefined,
  trusted: readonly string[],
): string {
  let client = plainAddress(remoteAddress ?? '');
  if (forwardedFor === undefined || forwardedFor === '' || trusted.length === 0) return client;
  const proxies = proxiesOf(trusted);
  for (const hop of forwardedFor.split(',').toReversed()) {
    if (!isListed(proxies, client)) return client;
    const address = plainAddress(hop.trim());
    if (isIP(address) === 0) return client;
    client = address;
  }
  return client;
}

/** IPv4 as a socket of both families writes it, as IPv4. */
function plainAddress(address: string): string {
  return address.startsWith('::ffff:') && address.includes('.') ? address.slice(7) : address;
}

const lists = new WeakMap<readonly string[], BlockList>();

function proxiesOf(trusted: readonly string[]): BlockList {
  const known = lists.get(trusted);
  if (known !== undefined) return known;
  const list = new BlockList();
  for (const entry of trusted) {
    const [address = '', bits] = entry.split('/');
    const family = isIP(address) === 6 ? 'ipv6' : 'ipv4';
    if (isIP(address) === 0) continue;
    list.addSubnet(address, Number(bits ?? (family === 'ipv6' ? 128 : 32)), family);
  }
  lists.set(trusted, list);
  return list;
}

function isListed(list: BlockList, address: string): boolean {
  const family = isIP(address);
  return family !== 0 && list.check(address, family === 6 ? 'ipv6' : 'ipv4');
}
