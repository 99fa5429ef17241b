/** The log line of a request: enough to find a fault by, and nothing that names a person unless the operator wants that. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { networkOf } from '../../src/serve/client-network.ts';
import { createLog } from '../../src/log.ts';
import { eventually } from '../world/eventually.ts';
import { linesInto } from '../world/log-lines.ts';
import { ask, startServing, type Serving } from './serving.ts';

const id = 'af000000-0000-4000-8000-000000000001';
const lines: string[] = [];
let serving: Serving;
let full: Serving;

beforeAll(async () => {
  serving = await startServing({ parts: { log: createLog('info', linesInto(lines)) } });
  full = await startServing({ environment: { DUMPER_LOG_ADDRESS: 'full' } });
  for (const one of [serving, full]) {
    await one.createTable(id, 5);
    await one.publish(id);
  }
});
afterAll(async () => {
  await Promise.all([serving.close(), full.close()]);
});

async function lineOf(
  { url }: Serving,
  written: readonly string[],
  query: string,
  headers: Readonly<Record<string, string>> = {},
): Promise<Record<string, unknown>> {
  const request = `asked-${Math.random().toString(36).slice(2)}`;
  await ask(`${url}/datastore/dump/${id}${query}`, { headers: { ...headers, 'x-request-id': request } });
  const line = await eventually('the line is written', () => written.find((one) => one.includes(request)));
  return JSON.parse(line) as Record<string, unknown>;
}

describe('the line of a dump', () => {
  it('says format and question, by names and lengths', async () => {
    const line = await lineOf(
      serving,
      lines,
      '?format=json&q=secret-word&filters={"n":1}&limit=3&nonsense=1',
    );
    expect(line).toMatchObject({
      status: 200,
      format: 'json',
      question: 'format q:11 filters:11 limit +1',
    });
    expect(JSON.stringify(line)).not.toContain('secret-word');
  });

  it('of a redirect too, where nothing was asked but the table', async () => {
    const line = await lineOf(serving, lines, '');
    expect(line).toMatchObject({ status: 302, format: 'csv', address: '127.0.0.0' });
    expect(line).not.toHaveProperty('question');
  });

  it('values stand in it at debug level alone, and no secret among them', async () => {
    const line = await lineOf(full, full.log, '?q=word&signature=abc&limit=1');
    expect(line['query']).toBe('q=word&signature=[secret]&limit=1');
  });

  it.each([
    ['?limit=x', 'bad limit'],
    ['?format=pdf&offset=y', 'bad format, offset'],
    ['?fields=nope', 'bad fields'],
  ])('400 of %s names the parameter', async (query, reason) => {
    expect(await lineOf(serving, lines, query)).toMatchObject({ status: 400, reason });
  });

  it('503 says why', async () => {
    serving.ckan.setFault('error');
    const line = await lineOf(serving, lines, '');
    serving.ckan.setFault(null);
    expect(line).toMatchObject({ status: 503, reason: expect.stringMatching(/\w+/) });
  });

  it('the client is the one that a trusted proxy names, its network unless the operator wants more', async () => {
    const headers = { 'x-forwarded-for': '203.0.113.77' };
    expect(await lineOf(serving, lines, '', headers)).toMatchObject({ address: '203.0.113.0' });
    expect(await lineOf(full, full.log, '', headers)).toMatchObject({ address: '203.0.113.77' });
  });
});

describe('the address of a client', () => {
  it.each([
    ['203.0.113.77', '203.0.113.0'],
    ['2001:db8:12:34:5:6:7:8', '2001:db8:12::'],
    ['2001:db8::8', '2001:db8:0::'],
    ['fe80::1%eth0', 'fe80:0:0::'],
    ['nonsense', ''],
  ])('its network: %s is %s', (address, network) => {
    expect(networkOf(address)).toBe(network);
  });
});
