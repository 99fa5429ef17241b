/**
 * The network of an address: what the log tells of a client, since a whole address names a person, and what a limit counts by, since
 * one client of IPv6 has many addresses.
 */
import { isIP } from 'node:net';

/** IPv4 to 24 bits, IPv6 to 48; empty for what is no address. */
export function networkOf(address: string): string {
  const family = isIP(address);
  if (family === 4) return address.replace(/\.\d+$/, '.0');
  if (family === 0) return '';
  const [head = '', tail] = address.split('%', 1)[0]?.split('::') ?? [];
  const groups = head === '' ? [] : head.split(':');
  // What `::` stands for is zeros; the last groups are beyond the network, unless few are left out.
  const rest = tail === undefined || tail === '' ? [] : tail.split(':');
  const missing = tail === undefined ? 0 : 8 - groups.length - rest.length;
  const whole = [...groups, ...Array.from({ length: Math.max(0, missing) }, () => '0'), ...rest];
  return `${whole.slice(0, 3).join(':')}::`;
}
