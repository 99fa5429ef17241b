/** P22: compressed on its way, a live answer is CKAN's bytes all the same, and its first byte waits for nothing. */
import http from 'node:http';
import { gunzipSync, zstdDecompressSync } from 'node:zlib';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { formats } from '../../src/format.ts';
import { encodingFor } from '../../src/serve/response-writer.ts';
import { startServing, type Serving } from './serving.ts';

let serving: Serving;
const big = 'c0000000-0000-4000-8000-0000000000c1';
const small = 'c0000000-0000-4000-8000-0000000000c2';

/** The body as it came, not decoded. */
async function get(path: string, options: http.RequestOptions = {}) {
  const response = await new Promise<http.IncomingMessage>((resolve, reject) => {
    http
      .request(serving.url + path, { agent: false, ...options }, resolve)
      .on('error', reject)
      .end();
  });
  return { headers: response.headers, body: Buffer.concat(await response.toArray()) };
}

beforeAll(async () => {
  serving = await startServing({ environment: { DUMPER_COMPRESS: 'on' } });
  await serving.createTable(big, 20_000);
  await serving.createTable(small, 2);
});
afterAll(() => serving.close());

test.each([
  ['gzip', gunzipSync],
  ['zstd', zstdDecompressSync],
] as const)('P22 %s: the same bytes after decoding, in every format', async (encoding, decode) => {
  for (const format of formats) {
    const path = `/datastore/dump/${big}?format=${format}&bom=true`;
    const plain = await get(path);
    const coded = await get(path, { headers: { 'Accept-Encoding': encoding } });
    expect(plain.headers['content-encoding']).toBeUndefined();
    expect(coded.headers['content-encoding']).toBe(encoding);
    expect(coded.headers['vary']).toContain('Accept-Encoding');
    expect(coded.body.length).toBeLessThan(plain.body.length / 2);
    expect(decode(coded.body).equals(plain.body)).toBe(true);
  }
});

test('a small answer has its length and is not encoded; HEAD neither', async () => {
  const headers = { 'Accept-Encoding': 'gzip, zstd' };
  const answer = await get(`/datastore/dump/${small}`, { headers });
  expect(answer.headers['content-encoding']).toBeUndefined();
  expect(answer.headers['content-length']).toBe(String(answer.body.length));
  const head = await get(`/datastore/dump/${big}`, { headers, method: 'HEAD' });
  expect(head.headers['content-encoding']).toBeUndefined();
});

test.each([
  ['', null],
  ['identity', null],
  ['br, deflate', null],
  ['gzip', 'gzip'],
  ['gzip;q=0', null],
  ['GZIP ; q=0.5', 'gzip'],
  ['gzip, zstd;q=0.1', 'zstd'],
  ['zstd;q=0, gzip', 'gzip'],
  ['gzip;q=nonsense', null],
] as const)('Accept-Encoding: %s is %s', (accepted, encoding) => {
  expect(encodingFor(accepted)).toBe(encoding);
});
