/** What somebody without rights can find out, or cause, by asking in odd ways: nothing (P9, P15). */
import { once } from 'node:events';
import net from 'node:net';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { readConfig } from '../../src/config/config.ts';
import { wrongTokensOfClient } from '../../src/serve/admin-throttle.ts';
import { eventually } from '../world/eventually.ts';
import { ask, startServing, type Serving } from './serving.ts';

const privateId = 'ac000000-0000-4000-8000-000000000001';
const adminToken = 'the-admin-token-of-tests';

describe('P15: what is broken is 400 and no fault of ours', () => {
  let serving: Serving;
  beforeAll(async () => {
    const webhook = { change: { receiveWebhook: async () => ({ kind: 'replayed' as const }) } };
    serving = await startServing({ parts: { webhook } });
  });
  beforeEach(() => void serving.log.splice(0));
  afterAll(() => serving.close());

  it('a notice that breaks off', async () => {
    const socket = net.connect(serving.port, '127.0.0.1');
    await once(socket, 'connect');
    socket.write('POST /notices HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"half"');
    await new Promise((resolve) => setImmediate(resolve));
    socket.destroy();
    const line = await eventually('it is logged', () => serving.log.find((one) => one.includes('/notices')));
    expect(JSON.parse(line)).toMatchObject({ level: 'info', status: 400 });
  });

  it.each([
    '/status/%zz',
    '/tables/%',
    '//',
    '//[',
    'http://[',
    'http://%zz/status',
    '/%ff%zz?%',
    '*',
    '?',
    '/status/a%00b',
    'x:80',
    'http://x:99999999/',
  ])('the target %s', async (target) => {
    const socket = net.connect(serving.port, '127.0.0.1');
    socket.write(`GET ${target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
    let answer = '';
    for await (const chunk of socket) answer += String(chunk);
    expect(answer).toMatch(/^HTTP\/1\.1 (200|400|404) /);
    expect(serving.log.filter((line) => line.includes('"level":"error"'))).toEqual([]);
  });
});

describe('P9: the admin token cannot be found by trying', () => {
  let serving: Serving;
  let seconds = 0;
  beforeAll(async () => {
    serving = await startServing({
      environment: { DUMPER_ADMIN_TOKEN: adminToken },
      parts: { rebuild: async () => undefined, now: () => new Date(Date.now() + seconds * 1000) },
    });
    await serving.createTable(privateId, 3, { private: true });
  });
  beforeEach(() => {
    seconds += 61;
  });
  afterAll(() => serving.close());

  const from = (client: string) => ({ 'x-forwarded-for': client });
  const withBearer = (client: string, token: string) =>
    ask(`${serving.url}/status/${privateId}/rebuild`, {
      method: 'POST',
      headers: { ...from(client), authorization: `Bearer ${token}` },
    });
  const withForm = async (client: string, token: string) =>
    fetch(`${serving.url}/tables/${privateId}/rebuild`, {
      method: 'POST',
      body: `token=${token}`,
      headers: { ...from(client), 'Content-Type': 'application/x-www-form-urlencoded' },
      redirect: 'manual',
    });

  it('after some wrong ones a client has to wait, with the right one too; others have not', async () => {
    for (let tried = 0; tried < wrongTokensOfClient; tried += 1) {
      const answer =
        tried % 2 === 0 ? await withForm('203.0.113.1', 'no') : await withBearer('203.0.113.1', 'no');
      expect([401, 403]).toContain(answer.status);
    }
    for (const token of ['no', adminToken]) {
      const answers = [await withForm('203.0.113.1', token), await withBearer('203.0.113.1', token)];
      expect(answers.map(({ status }) => status)).toEqual([429, 429]);
      for (const { headers } of answers) expect(Number(headers.get('retry-after'))).toBeGreaterThan(0);
    }
    expect((await withForm('203.0.113.2', adminToken)).status).toBe(303);
    seconds += 61;
    expect((await withForm('203.0.113.1', adminToken)).status).toBe(303);
  });

  it('IPv6 addresses of one network are one client', async () => {
    const network = [];
    for (let host = 0; host <= wrongTokensOfClient; host += 1) {
      network.push((await withForm(`2001:db8::${host + 1}`, 'no')).status);
    }
    expect(network.at(-1)).toBe(429);
  });

  it('whoever only reads is not concerned, with whatever bearer token', async () => {
    const headers = { ...from('203.0.113.9'), authorization: 'Bearer a-token-of-another-service' };
    for (let tried = 0; tried < 2 * wrongTokensOfClient; tried += 1) {
      expect((await ask(`${serving.url}/status`, { headers })).status).toBe(200);
    }
  });

  it('a short one is a fault of the settings', () => {
    expect(() => readConfig({ DUMPER_ADMIN_TOKEN: 'short' })).toThrow(
      /DUMPER_ADMIN_TOKEN: expected at least 16/,
    );
  });
});
