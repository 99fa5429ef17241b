/** P6, P18, P23: how S3's answers are understood: switches, wrong credentials, signed URLs, the size of parts. */
import { expect, test } from 'vitest';
import type { BlobStore } from '../../src/blob-store/blob-store.ts';
import { probeConditionalWrites } from '../../src/blob-store/conditions.ts';
import { openBlobStore } from '../../src/blob-store/open.ts';
import { partBytesFor } from '../../src/blob-store/s3-upload.ts';
import { eventually } from '../world/eventually.ts';
import { bytes, useBrokenS3 } from './broken-s3.ts';
import { asPut, bytesOf, keysOf, partBytes } from './stores.ts';

const s3 = useBrokenS3();

test('a switch whose answer is lost is known to have happened', async () => {
  let lost = 0;
  s3.double.rule = (method) => {
    if (method !== 'PUT' || lost > 0) return null;
    lost += 1;
    return 'lose-answer';
  };
  expect(await s3.store.replaceSmall('m.json', Buffer.from('{"a":1}'), 'application/json', null)).toBe(
    'switched',
  );
  expect(lost).toBe(1);
});

test('a store without conditional writes is compared first, then written', async () => {
  s3.double.rule = (method, _url, headers) =>
    method === 'PUT' && (headers['if-match'] || headers['if-none-match']) ? 'not-implemented' : null;
  const [one, two] = [Buffer.from('1'), Buffer.from('2')];
  expect(await s3.store.replaceSmall('m.json', one, 'application/json', 'none such')).toBe('conflict');
  expect(await s3.store.replaceSmall('m.json', one, 'application/json', null)).toBe('switched');
  expect(await s3.store.replaceSmall('m.json', two, 'application/json', null)).toBe('conflict');
  const { version } = (await s3.store.readSmall('m.json')) ?? { version: '' };
  expect(await s3.store.replaceSmall('m.json', two, 'application/json', version)).toBe('switched');
});

test('what a store makes of the conditions of writes is found out by trying', async () => {
  expect(await probeConditionalWrites(s3.store)).toBe('hold');
  const heedless: BlobStore = {
    ...s3.store,
    replaceSmall: async (key, body, contentType) => {
      const there = await s3.store.readSmall(key);
      return s3.store.replaceSmall(key, body, contentType, there?.version ?? null);
    },
  };
  expect(await probeConditionalWrites(heedless)).toBe('ignored');
  s3.double.rule = (method) => (method === 'GET' ? 'change-etag' : null);
  await expect(probeConditionalWrites(s3.store)).rejects.toMatchObject({
    code: 'BLOB_STORE_UNAVAILABLE',
    message: expect.stringMatching(/condition .* refused: If-Match.*another/),
  });
  expect(await keysOf(s3.store)).toEqual([]);
});

test('wrong credentials or a wrong bucket never look like an absent object', async () => {
  const nobody = s3.open('p', {}, { AWS_ACCESS_KEY_ID: 'nobody' });
  const nowhere = openBlobStore('s3://no-such-bucket/p', { environment: s3.server.environment });
  for (const wrong of [nobody, nowhere]) {
    await expect(wrong.readSmall('k')).rejects.toMatchObject({ code: 'BLOB_STORE_UNAVAILABLE' });
    await expect(keysOf(wrong)).rejects.toMatchObject({ code: 'BLOB_STORE_UNAVAILABLE' });
    await wrong.close();
  }
});

test('P18 a wrong bucket, a wrong key and a wrong secret are told plainly, without a secret', async () => {
  const secret = s3.server.environment['AWS_SECRET_ACCESS_KEY'] ?? '';
  const told = async (wrong: BlobStore): Promise<string> => {
    const error = await wrong.check().then(
      () => new Error('passed'),
      (thrown: Error) => thrown,
    );
    await wrong.close();
    const everything = JSON.stringify([error.message, error.stack, String(error.cause), error]);
    for (const hidden of [secret, 'canary-secret', 'Signature=', 'Credential='])
      expect(everything).not.toContain(hidden);
    return error.message;
  };
  const { environment } = s3.server;
  expect(await told(openBlobStore('s3://no-such-bucket/p', { environment }))).toContain(
    '"no-such-bucket" does not exist',
  );
  expect(await told(s3.open('p', {}, { AWS_SECRET_ACCESS_KEY: 'canary-secret' }))).toContain(
    'credentials were refused',
  );
  expect(await told(s3.open('p', {}, { AWS_ACCESS_KEY_ID: 'nobody' }))).toMatch(
    /credentials were refused|access key/,
  );
});

test('P6 a signed URL gives the blob with the headers asked for, ranges too, until it ends', async () => {
  await s3.store.put('a b/é.csv', bytes(1000), asPut());
  const url = await s3.store.signedUrl('a b/é.csv', {
    lifeSeconds: 300,
    cacheControl: 'private, no-store',
    contentDisposition: `attachment; filename*=UTF-8''%E9%9D%A2.csv`,
  });
  const answer = await fetch(url);
  expect(answer.status).toBe(200);
  expect(Object.fromEntries(answer.headers)).toMatchObject({
    'content-type': 'text/csv; charset=utf-8',
    'cache-control': 'private, no-store',
    'content-disposition': `attachment; filename*=UTF-8''%E9%9D%A2.csv`,
    'content-length': '1000',
  });
  const whole = Buffer.from(await answer.arrayBuffer());
  expect(whole.equals(Buffer.concat([...bytesOf(1000)]))).toBe(true);
  const part = await fetch(url, { headers: { range: 'bytes=5-9' } });
  expect([part.status, Buffer.from(await part.arrayBuffer())]).toEqual([206, whole.subarray(5, 10)]);
  expect((await fetch(url.replace('%C3%A9', 'e'))).status).toBe(403);
  const short = await s3.store.signedUrl('a b/é.csv', { lifeSeconds: 1 });
  await eventually('the short URL has ended', async () => (await fetch(short)).status === 403);
  expect((await fetch(url)).status).toBe(200);
});

test('10,000 parts suffice although the guess is five times too small, and small tables keep small parts', () => {
  for (const guess of [0, 1, 1e6, 1e9, 1e10, 1e11, 1e12]) {
    expect(partBytesFor(guess) * 10_000).toBeGreaterThanOrEqual(5 * guess);
  }
  expect(partBytesFor(1e10)).toBe(partBytes);
  expect(partBytesFor(1e15)).toBeLessThan(5 * 1024 ** 3);
});
