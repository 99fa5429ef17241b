/** P13, P32: a client cannot choose the address by which it is counted. */
import { describe, expect, it, test } from 'vitest';
import { readConfig } from '../../src/config/config.ts';
import { clientAddress, clientNetwork } from '../../src/serve/client-address.ts';

const trusted = readConfig({}).DUMPER_TRUSTED_PROXIES;

function addressOf(remoteAddress: string | undefined, forwarded?: string): string | null {
  const headers = forwarded === undefined ? {} : { 'x-forwarded-for': forwarded };
  return clientAddress({ headers, socket: { remoteAddress } }, trusted);
}

describe('the address of a client', () => {
  it.each([
    ['203.0.113.7', undefined, '203.0.113.7'],
    ['127.0.0.1', '203.0.113.7', '203.0.113.7'],
    ['::ffff:127.0.0.1', '203.0.113.7', '203.0.113.7'],
    ['::1', '2001:DB8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
    ['10.0.0.2', '203.0.113.7, 192.168.1.1', '203.0.113.7'],
    ['10.0.0.2', '203.0.113.7:51234', '203.0.113.7'],
    ['10.0.0.2', '[2001:db8::5]:443', '2001:db8::5'],
    ['10.0.0.2', '10.1.1.1, 10.2.2.2', '10.1.1.1'],
  ])('%s with %s is %s', (peer, forwarded, client) => {
    expect(addressOf(peer, forwarded)).toBe(client);
  });

  it.each([
    ['a header sent by nobody trusted', '203.0.113.7', '8.8.8.8', '203.0.113.7'],
    ['an invented beginning', '127.0.0.1', '8.8.8.8, 203.0.113.7', '203.0.113.7'],
    ['an invented trusted hop', '127.0.0.1', '8.8.8.8, 10.0.0.1, 203.0.113.7', '203.0.113.7'],
    ['what is no address', '127.0.0.1', "unknown, '; DROP TABLE x, 203.0.113.7", '203.0.113.7'],
    ['commas alone', '127.0.0.1', `${','.repeat(60_000)}203.0.113.7`, '203.0.113.7'],
    ['no address behind trusted hops', '127.0.0.1', 'unknown, 10.0.0.1', '10.0.0.1'],
    ['a mapped address', '127.0.0.1', '8.8.8.8, ::ffff:203.0.113.7', '203.0.113.7'],
  ])('%s does not choose it', (_what, peer, forwarded, client) => {
    expect(addressOf(peer, forwarded)).toBe(client);
  });

  it.each([
    ['no header', undefined],
    ['an empty header', ''],
    ['commas', ',,,,'],
    ['a name', '_hidden'],
    ['a number', '1'],
    ['an address that is none', '999.1.1.1'],
    ['a long text', 'a'.repeat(60_000)],
  ])('is not known behind a trusted proxy with %s', (_what, forwarded) => {
    expect(addressOf('127.0.0.1', forwarded)).toBeNull();
  });

  it('is not known when the connection is gone', () => {
    expect(addressOf(undefined, '203.0.113.7')).toBeNull();
  });

  it('reads so many hops at most', () => {
    expect(addressOf('127.0.0.1', `203.0.113.7${', 10.0.0.1'.repeat(5000)}`)).toBe('10.0.0.1');
  });
});

test.each([
  ['203.0.113.7', '203.0.113.7'],
  ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
  ['2001:db8:1:2:ffff::1', '2001:db8:1:2::/64'],
  ['2001:db8::1', '2001:db8:0:0::/64'],
  ['::1', '0:0:0:0::/64'],
])('%s counts as %s', (address, network) => {
  expect(clientNetwork(address)).toBe(network);
});

test('the trusted networks are checked when settings are read', () => {
  for (const text of ['10.0.0.0/33', 'fc00::/129', 'proxy.example', '10.0.0.0/8/8', '10.0.0.0/x', '/8'])
    expect(() => readConfig({ DUMPER_TRUSTED_PROXIES: text })).toThrow(
      'DUMPER_TRUSTED_PROXIES: expected a network',
    );
  const own = readConfig({ DUMPER_TRUSTED_PROXIES: '198.51.100.4' }).DUMPER_TRUSTED_PROXIES;
  const headers = { 'x-forwarded-for': '203.0.113.7' };
  expect(clientAddress({ headers, socket: { remoteAddress: '198.51.100.4' } }, own)).toBe('203.0.113.7');
  expect(clientAddress({ headers, socket: { remoteAddress: '127.0.0.1' } }, own)).toBe('127.0.0.1');
});
