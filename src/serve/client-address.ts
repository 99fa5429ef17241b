/**
 * Where a request comes from, behind proxies (P13, slow clients exhaust nothing; for the log too).
 *
 * Each proxy adds the address it was asked from to the end of `X-Forwarded-For`, and a client may send any beginning of
 * it. So the header is read from its end, as long as the address behind it is a trusted proxy's: the first one that is
 * not is the client's. What is no address ends the reading.
 */
import type { IncomingMessage } from 'node:http';
import { isIP, isIPv6, type BlockList } from 'node:net';

type AddressedRequest = Pick<IncomingMessage, 'headers'> & {
  readonly socket: { readonly remoteAddress?: string | undefined };
};

/** More proxies than any installation has. */
const mostHops = 32;

/**
 * The address of the client, IPv4 or IPv6 in lower case. Null where a trusted proxy asks and names no client, or the
 * connection is gone: one address may then be any number of clients.
 */
export function clientAddress({ headers, socket }: AddressedRequest, trusted: BlockList): string | null {
  const peer = addressOf(socket.remoteAddress ?? '');
  if (peer === null || !isTrusted(peer, trusted)) return peer;
  let client: string | null = null;
  for (const hop of lastHops(headers['x-forwarded-for'])) {
    const address = addressOf(hop);
    if (address === null) return client;
    client = address;
    if (!isTrusted(address, trusted)) return client;
  }
  return client;
}

/** What counts as one client: an IPv4 address, or an IPv6 network of 64 bits, which one subscriber has as a rule. */
export function clientNetwork(address: string): string {
  if (!isIPv6(address)) return address;
  const [head = '', tail] = address.split('::');
  const groupsOf = (text: string): string[] => (text === '' ? [] : text.split(':'));
  const [before, after] = [groupsOf(head), groupsOf(tail ?? '')];
  const zeros = tail === undefined ? 0 : 8 - before.length - after.length;
  const groups = [...before, ...Array.from({ length: zeros }, () => '0'), ...after];
  return `${groups.slice(0, 4).join(':')}::/64`;
}

/** From the end on; the header may be as long as all headers together. */
function* lastHops(header: string | string[] | undefined): Generator<string> {
  const text = Array.isArray(header) ? header.join(',') : (header ?? '');
  let end = text.length;
  for (let hops = 0; hops < mostHops && end > 0; hops += 1) {
    const start = text.lastIndexOf(',', end - 1);
    yield text.slice(start + 1, end).trim();
    end = start;
  }
}

const withPort = /^(?:\[(?<six>[\da-f:.]+)\]|(?<four>[\d.]+))(?::\d{1,5})?$/i;
const mapped = /^::ffff:([\d.]+)$/i;

/** In its shortest form; null: no address. Some proxies add a port; a zone (`%eth0`) is dropped. */
function addressOf(text: string): string | null {
  if (text.length > 64) return null;
  const { six, four } = withPort.exec(text)?.groups ?? {};
  const [address = ''] = (six ?? four ?? text).split('%');
  const plain = mapped.exec(address)?.[1] ?? address;
  if (isIP(plain) === 4) return plain;
  if (isIP(plain) !== 6) return null;
  return new URL(`http://[${plain}]`).hostname.slice(1, -1);
}

/** A trusted address may be a gateway's that stands for any number of clients. */
export function isTrusted(address: string, trusted: BlockList): boolean {
  return trusted.check(address, isIPv6(address) ? 'ipv6' : 'ipv4');
}
