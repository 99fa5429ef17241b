/** A fresh blob in every way it can be given, against the bytes that the live answer gives (promises P4, P22). */
import { createHash } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ask, startServing, type Serving } from './serving.ts';

let serving: Serving;
const id = 'a0000000-0000-4000-8000-000000000001';

beforeAll(async () => {
  serving = await startServing();
  await serving.createTable(id, 300);
  await serving.publish(id);
});
afterAll(() => serving.close());

const dump = (query = ''): string => `${serving.url}/datastore/dump/${id}${query}`;

describe('P22: blob and live answer hold the same bytes', () => {
  for (const query of [
    '',
    '?bom=True',
    '?format=tsv',
    '?format=tsv&bom=true',
    '?format=json',
    '?format=xml',
    '?format=ndjson',
  ]) {
    it(`as redirect, as stream and live: ${query || '(plain)'}`, async () => {
      const redirect = await ask(dump(query));
      expect(redirect.status).toBe(302);
      expect(redirect.headers.get('x-dump-source')).toBe('blob');
      const followed = await ask(new URL(redirect.headers.get('location') ?? '', serving.url).href);
      const join = query === '' ? '?' : '&';
      const streamed = await ask(dump(`${query}${join}redirect=false`));
      const live = await ask(dump(`${query}${join}latest=true`));
      expect([followed.status, streamed.status, live.status]).toEqual([200, 200, 200]);
      expect(live.headers.get('x-dump-source')).toBe('live');
      expect(followed.text).toBe(live.text);
      expect(streamed.text).toBe(live.text);
      for (const answer of [followed, streamed]) {
        expect(answer.headers.get('content-disposition')).toBe(live.headers.get('content-disposition'));
        expect(answer.headers.get('content-type')).toBe(live.headers.get('content-type'));
      }
    });
  }
});

describe('the service answers HEAD, 304 and ranges itself', () => {
  it('HEAD has the length, entity tag and digest of the bytes, and never redirects', async () => {
    const head = await ask(dump(), { method: 'HEAD' });
    const live = await ask(dump('?latest=true'));
    const sha256 = createHash('sha256').update(live.text);
    expect(head.status).toBe(200);
    expect(head.headers.get('content-length')).toBe(String(Buffer.byteLength(live.text)));
    expect(head.headers.get('repr-digest')).toBe(`sha-256=:${sha256.digest('base64')}:`);
    expect(head.headers.get('x-dump-revision')).toMatch(/^[0-9a-f]+-[0-9a-f]+$/);
  });

  it('HEAD of a live answer has its headers', async () => {
    const head = await ask(dump('?limit=3'), { method: 'HEAD' });
    expect([head.status, head.headers.get('x-dump-source'), head.text]).toEqual([200, 'live', '']);
    const bad = await ask(dump('?fields=nope'), { method: 'HEAD' });
    expect(bad.status).toBe(400);
  });

  it('If-None-Match with the tag is 304, with another the redirect', async () => {
    const tag = (await ask(dump(), { method: 'HEAD' })).headers.get('etag') ?? '';
    for (const known of [tag, `"other", W/${tag}`, '*']) {
      const again = await ask(dump(), { headers: { 'if-none-match': known, 'cache-control': 'max-age=0' } });
      expect([again.status, again.text]).toEqual([304, '']);
      expect(again.headers.get('x-dump-source')).toBe('blob');
    }
    expect((await ask(dump(), { headers: { 'if-none-match': '"other"' } })).status).toBe(302);
  });

  it('ranges of the streamed blob and of the blob route', async () => {
    const whole = (await ask(dump('?latest=true'))).text;
    const signed = new URL((await ask(dump())).headers.get('location') ?? '', serving.url).href;
    for (const url of [dump('?redirect=false'), signed]) {
      const part = await ask(url, { headers: { range: 'bytes=10-19' } });
      expect([part.status, part.text]).toEqual([206, whole.slice(10, 20)]);
      expect(part.headers.get('content-range')).toBe(`bytes 10-19/${whole.length}`);
      const tail = await ask(url, { headers: { range: 'bytes=-5' } });
      expect([tail.status, tail.text]).toEqual([206, whole.slice(-5)]);
      const beyond = await ask(url, { headers: { range: 'bytes=99999999-' } });
      expect([beyond.status, beyond.headers.get('content-range')]).toEqual([416, `bytes */${whole.length}`]);
      const changed = await ask(url, { headers: { range: 'bytes=10-19', 'if-range': '"other"' } });
      expect([changed.status, changed.text]).toEqual([200, whole]);
    }
  });

  it('a signed path that was tampered with, or names a manifest, gives nothing', async () => {
    const signed = new URL((await ask(dump())).headers.get('location') ?? '', serving.url);
    const forged = signed.href.replace('.csv', '.json');
    expect((await ask(forged)).status).toBe(403);
    expect((await ask(`${serving.url}/blobs/${id}/manifest.json`)).status).toBe(403);
    expect((await ask(`${serving.url}/blobs/..%2f..%2fetc/passwd`)).status).toBe(403);
    expect((await ask(signed.href, { method: 'DELETE' })).status).toBe(405);
  });
});

describe('which questions the blob answers', () => {
  const whole = [
    '?sort=_id',
    '?offset=0&format=csv',
    '?limit=300',
    '?limit=100000',
    '?fields=_id,n,text',
    '?filters={}',
  ];
  const parts = [
    '?limit=299',
    '?offset=1',
    '?sort=n',
    '?fields=n',
    '?q=row',
    '?distinct=true',
    '?latest=true',
    '?filters={"n":1}',
  ];

  it('the whole table, however it is spelled', async () => {
    for (const query of whole) expect([query, (await ask(dump(query))).status]).toEqual([query, 302]);
  });

  it('P4: anything else is answered live, never with the whole blob', async () => {
    for (const query of parts) {
      const answer = await ask(dump(query));
      expect([query, answer.status, answer.headers.get('x-dump-source')]).toEqual([query, 200, 'live']);
    }
  });

  it('P4: after a change the very next request is live, and the blob again when published', async () => {
    const other = 'a0000000-0000-4000-8000-000000000002';
    await serving.createTable(other, 5);
    await serving.publish(other);
    const url = `${serving.url}/datastore/dump/${other}`;
    expect((await ask(url)).status).toBe(302);
    for (const change of [
      `INSERT INTO "${other}" (n) VALUES (6)`,
      `UPDATE "${other}" SET n = 7 WHERE n = 1`,
      `DELETE FROM "${other}" WHERE n = 2`,
      `COMMENT ON COLUMN "${other}".n IS '{"_info": {"label": "Number"}}'`,
      `ALTER TABLE "${other}" RENAME COLUMN n TO m`,
      `TRUNCATE "${other}"`,
    ]) {
      await serving.owner.query(change);
      const live = await ask(url);
      expect([change, live.status, live.headers.get('x-dump-source')]).toEqual([change, 200, 'live']);
    }
    await serving.publish(other);
    await expect.poll(async () => (await ask(url)).status, { timeout: 10_000 }).toBe(302);
  });
});
