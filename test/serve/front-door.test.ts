/**
 * Promise P17 from outside: whatever a request's target and headers say, a redirect leads to this service or the
 * configured CDN, no header is added, no other address is asked and no key outside the table's own is named.
 */
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { send } from '../conformance/request.ts';
import { recordCount } from '../world/counts.ts';
import { startServing, type Serving } from './serving.ts';

// thousands of requests
vi.setConfig({ testTimeout: 60_000 });

const id = 'f1100000-0000-4000-8000-00000000000f';
let serving: Serving;
let elsewhere: http.Server;
let reached = 0;
let evil = '';

beforeAll(async () => {
  elsewhere = http.createServer((_request, response) => {
    reached += 1;
    response.end();
  });
  await new Promise<void>((resolve) => elsewhere.listen(0, '127.0.0.1', resolve));
  evil = `127.0.0.1:${(elsewhere.address() as AddressInfo).port}`;
  serving = await startServing({
    environment: { DUMPER_PUBLIC_BLOB_URL: 'https://cdn.example', DUMPER_DECISION_CACHE_SECONDS: '60' },
  });
  await serving.createTable(id, 3);
  await serving.publish(id, { exposed: true });
});
afterAll(async () => {
  await serving.close();
  await new Promise((resolve) => elsewhere.close(resolve));
});

const before = () =>
  fc.constantFrom(
    '',
    '',
    '/en',
    '/',
    '//',
    '///',
    `//${evil}`,
    `http://${evil}`,
    `/\\${evil}`,
    '/..',
    '/%2e%2e',
    '/en',
    '/%0d%0a',
  );
const named = fc.constantFrom(
  ...Array.from({ length: 8 }, () => id),
  `${id}%0d%0aX-Evil:%201`,
  `${id}%00`,
  `..%2f${id}`,
  `${id}%2f..%2f..%2fetc%2fpasswd`,
  `public%2f${id}`,
  `http:%2f%2fevil.example%2f${id}`,
  `${id};${id}`,
  `${id}@evil.example`,
);
const after = () =>
  fc.constantFrom(
    '',
    '/',
    '?',
    `?redirect=http://${evil}`,
    `?next=//${evil}`,
    '?format=csv%0d%0aX-Evil: 1',
    '?bom=true',
    '#x',
  );
const headers = () =>
  fc.record(
    {
      '@host': fc.constantFrom(evil, `${evil}:80@cdn.example`, 'evil.example, cdn.example'),
      'X-Forwarded-Host': fc.constant(evil),
      'X-Forwarded-Proto': fc.constantFrom('javascript', 'https'),
      Forwarded: fc.constant(`host=${evil};proto=http`),
      'X-Original-URL': fc.constant(`http://${evil}/`),
      'X-Rewrite-URL': fc.constant('/status'),
      'X-HTTP-Method-Override': fc.constantFrom('DELETE', 'POST'),
      Referer: fc.constant(`http://${evil}/`),
      Origin: fc.constant(`http://${evil}`),
      'X-Request-ID': fc.constantFrom('a b', '<script>', `http://${evil}`),
    },
    { requiredKeys: [] },
  );

describe('P17: the front door', () => {
  it('leads nowhere else, adds no header and asks no other address', async () => {
    let asked = 0;
    let redirects = 0;
    const one = async (target: string, given: Record<string, string>): Promise<void> => {
      const request = { method: 'GET', path: target, request_headers: given, request_body: null };
      const answer = await send(serving.port, request, undefined);
      asked += 1;
      expect(answer.status).toBeGreaterThanOrEqual(200);
      expect(answer.status).toBeLessThan(500);
      expect([...answer.headers.keys()]).not.toContain('x-evil');
      const location = answer.headers.get('location');
      if (location !== undefined) {
        redirects += 1;
        expect(location).toMatch(
          new RegExp(`^https://cdn\\.example/public/${id}/[0-9a-f-]+/(bom/)?${id}\\.\\w+$`),
        );
      }
      const said = [...answer.headers].filter(([name]) => name !== 'x-request-id');
      expect(JSON.stringify(said)).not.toContain(evil);
    };
    await one(`/datastore/dump/${id}`, {});
    await fc.assert(
      fc.asyncProperty(before(), named, after(), headers(), async (head, name, tail, given) => {
        await one(`${head}/datastore/dump/${name}${tail}`, given as Record<string, string>);
      }),
      { numRuns: 1500 },
    );
    expect([reached, redirects > 50]).toEqual([0, true]);
    recordCount('P17', 'requests with other addresses in them', asked);
  });
});
