/** P1, P7, P21, P23: an S3 link that breaks in every way leaves either the whole object or none, and says so in time. */
import { randomInt } from 'node:crypto';
import { Readable } from 'node:stream';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import type { BlobStore } from '../../src/blob-store.ts';
import { openBlobStore, type OpenOptions } from '../../src/blob-store/open.ts';
import { partBytesFor } from '../../src/blob-store/s3-upload.ts';
import { recordCount } from '../world/counts.ts';
import { eventually } from '../world/eventually.ts';
import { startFaultProxy, type FaultProxy } from '../world/fault-proxy.ts';
import { startS3Faults, type S3FaultServer } from '../world/s3-faults.ts';
import { startS3, type S3Server } from '../world/s3.ts';
import { asPut, bytesOf, keysOf, partBytes, readAll, soon } from './stores.ts';

let server: S3Server | { skipped: string };
let bucket: string;
let double: S3FaultServer;
let proxy: FaultProxy;
let store: BlobStore;

beforeAll(async () => {
  server = await startS3();
  if ('skipped' in server) return;
  bucket = await server.createBucket();
  double = await startS3Faults(server);
  proxy = await startFaultProxy(double);
});
afterAll(async () => {
  if ('skipped' in server) return;
  await proxy.stop();
  await double.stop();
  await server.stop();
});
beforeEach((context) => {
  if ('skipped' in server) return context.skip(server.skipped);
  store = opened('faults');
});
afterEach(async () => {
  if ('skipped' in server) return;
  proxy.pass();
  double.rule = () => null;
  await store.delete(await keysOf(store));
  expect(await store.abortUnfinished(soon())).toBeGreaterThanOrEqual(0);
  expect(await store.abortUnfinished(soon())).toBe(0);
  await store.close();
});

/** A store reached through proxy and double, signed for the proxy's address. */
function opened(
  prefix: string,
  options: OpenOptions = {},
  environment: Record<string, string> = {},
): BlobStore {
  const { environment: reach } = server as S3Server;
  return openBlobStore(`s3://${bucket}/${prefix}`, {
    environment: { ...reach, AWS_ENDPOINT_URL_S3: proxy.url, ...environment },
    answerSeconds: 3,
    connectSeconds: 1,
    idleSeconds: 2,
    ...options,
  });
}

function bytes(count: number): Readable {
  return Readable.from(bytesOf(count), { objectMode: false });
}

test('P1 P7 cuts of the link at random bytes leave the whole object or none', async () => {
  const size = 2 * partBytes + 1234;
  const whole = Buffer.concat([...bytesOf(size)]);
  const cuts = 24;
  let survived = 0;
  for (let cut = 0; cut < cuts; cut += 1) {
    const direction = cut % 4 === 3 ? 'toClient' : 'toTarget';
    proxy.set({ cutAfter: { bytes: randomInt(direction === 'toClient' ? 600 : size), direction } });
    const key = `cut-${cut}`;
    const outcome = await store.put(key, bytes(size), asPut(size)).then(
      () => 'whole',
      (error: unknown) => error,
    );
    proxy.pass();
    proxy.reset();
    const there = await readAll(store, key);
    if (outcome === 'whole') survived += 1;
    else expect(outcome).toMatchObject({ code: 'BLOB_STORE_UNAVAILABLE' });
    if (outcome === 'whole' || there !== null) expect(there?.equals(whole)).toBe(true);
  }
  expect(proxy.cuts).toBeGreaterThanOrEqual(cuts / 2);
  recordCount('P1', 'cuts of the S3 link', cuts);
  expect(survived).toBeLessThan(cuts);
});

test('P1 a part that is refused fails the upload, which is cleared away', async () => {
  double.rule = (method, url) =>
    method === 'PUT' && url.searchParams.get('partNumber') === '3' ? 'error-500' : null;
  await expect(store.put('k', bytes(4 * partBytes), asPut())).rejects.toMatchObject({
    code: 'BLOB_STORE_UNAVAILABLE',
  });
  expect(await store.head('k')).toBeNull();
  expect(await store.abortUnfinished(soon())).toBe(0);
});

test('a part that is refused once is sent again', async () => {
  let refused = 0;
  double.rule = (method, url) => {
    if (method !== 'PUT' || url.searchParams.get('partNumber') !== '2' || refused > 0) return null;
    refused += 1;
    return 'error-500';
  };
  await store.put('k', bytes(3 * partBytes), asPut());
  expect(refused).toBe(1);
  expect((await readAll(store, 'k'))?.equals(Buffer.concat([...bytesOf(3 * partBytes)]))).toBe(true);
});

test('P1 a completion that is refused fails the upload, which is cleared away', async () => {
  double.rule = (method, url) => (method === 'POST' && url.searchParams.has('uploadId') ? 'error-500' : null);
  await expect(store.put('k', bytes(2 * partBytes), asPut())).rejects.toMatchObject({
    code: 'BLOB_STORE_UNAVAILABLE',
  });
  expect(await store.head('k')).toBeNull();
  expect(await store.abortUnfinished(soon())).toBe(0);
});

test.each([1000, 2 * partBytes])(
  'P1 a byte changed on its way is refused, object of %i bytes',
  async (size) => {
    double.rule = (method, url) =>
      method === 'PUT' && (size === 1000 || url.searchParams.get('partNumber') === '1') ? 'flip-byte' : null;
    await expect(store.put('k', bytes(size), asPut())).rejects.toMatchObject({
      code: 'BLOB_STORE_UNAVAILABLE',
    });
    expect(await store.head('k')).toBeNull();
  },
);

test('a download that is cut is an error, never a short blob', async () => {
  await store.put('k', bytes(partBytes), asPut());
  for (const by of ['reset', 'fin'] as const) {
    proxy.reset();
    proxy.set({ cutAfter: { bytes: 100_000, direction: 'toClient' }, cutBy: by });
    await expect(readAll(store, 'k')).rejects.toMatchObject({ code: 'BLOB_STORE_UNAVAILABLE' });
    proxy.pass();
  }
});

test('a download that falls silent is an error in bounded time, a reader that pauses is not', async () => {
  await store.put('k', bytes(partBytes), asPut());
  const source = (await store.read('k', new AbortController().signal)) as Readable;
  const iterator = source[Symbol.asyncIterator]();
  let got = (await iterator.next()).value.length as number;
  const paused = performance.now();
  await eventually('longer than the idle limit has passed', () => performance.now() - paused > 2500);
  got += (await iterator.next()).value.length as number;
  expect(got).toBeGreaterThan(0);
  proxy.set({ blackhole: true });
  await expect(
    (async () => {
      for (let next = await iterator.next(); !next.done; next = await iterator.next());
    })(),
  ).rejects.toMatchObject({ code: 'BLOB_STORE_UNAVAILABLE' });
});

test('a switch whose answer is lost is known to have happened', async () => {
  let lost = 0;
  double.rule = (method) => {
    if (method !== 'PUT' || lost > 0) return null;
    lost += 1;
    return 'lose-answer';
  };
  expect(await store.replaceSmall('m.json', Buffer.from('{"a":1}'), 'application/json', null)).toBe(
    'switched',
  );
  expect(lost).toBe(1);
});

test('a store without conditional writes is compared first, then written', async () => {
  double.rule = (method, _url, headers) =>
    method === 'PUT' && (headers['if-match'] || headers['if-none-match']) ? 'not-implemented' : null;
  const [one, two] = [Buffer.from('1'), Buffer.from('2')];
  expect(await store.replaceSmall('m.json', one, 'application/json', 'none such')).toBe('conflict');
  expect(await store.replaceSmall('m.json', one, 'application/json', null)).toBe('switched');
  expect(await store.replaceSmall('m.json', two, 'application/json', null)).toBe('conflict');
  const { version } = (await store.readSmall('m.json')) ?? { version: '' };
  expect(await store.replaceSmall('m.json', two, 'application/json', version)).toBe('switched');
});

test.each(['refuse', 'blackhole'] as const)(
  'P21 an endpoint that is gone (%s) is told in bounded time',
  async (fault) => {
    const impatient = opened('gone', { answerSeconds: 1, idleSeconds: 1 });
    proxy.set({ [fault]: true });
    proxy.reset();
    const unavailable = { code: 'BLOB_STORE_UNAVAILABLE' };
    const begin = performance.now();
    await Promise.all([
      expect(impatient.readSmall('k')).rejects.toMatchObject(unavailable),
      expect(impatient.head('k')).rejects.toMatchObject(unavailable),
      expect(impatient.check()).rejects.toMatchObject(unavailable),
      expect(impatient.read('k', new AbortController().signal)).rejects.toMatchObject(unavailable),
      expect(impatient.replaceSmall('k', Buffer.from('x'), 'a/b', null)).rejects.toMatchObject(unavailable),
      expect(impatient.put('k', bytes(10), asPut())).rejects.toMatchObject(unavailable),
    ]);
    expect(performance.now() - begin).toBeLessThan(20_000);
    proxy.pass();
    proxy.reset();
    await impatient.check();
    await impatient.close();
  },
);

test('an abort ends an upload although the store is silent', async () => {
  const patient = opened('silent', { idleSeconds: 600, answerSeconds: 600 });
  const stop = new AbortController();
  const putting = patient.put('k', bytes(3 * partBytes), asPut(0, stop.signal));
  await eventually('the first part is on its way', () =>
    double.seen.some((seen) => seen.includes('partNumber=1')),
  );
  proxy.set({ blackhole: true });
  stop.abort();
  await expect(putting).rejects.toMatchObject({ code: 'ABORTED' });
  proxy.pass();
  proxy.reset();
  await patient.close();
});

test('a store that takes nothing more is given nothing more', async () => {
  let pulled = 0;
  const stop = new AbortController();
  const source = new Readable({
    highWaterMark: 64 * 1024,
    read() {
      pulled += 64 * 1024;
      this.push(Buffer.alloc(64 * 1024, 1));
    },
  });
  const patient = opened('full', { idleSeconds: 600 });
  double.seen.length = 0;
  proxy.set({ bytesPerSecond: 200_000 });
  const putting = patient.put('k', source, asPut(0, stop.signal));
  await eventually('the upload has begun', () => double.seen.length > 0);
  let before = -1;
  await eventually('the source is asked no more', () => {
    const rested = before === pulled;
    before = pulled;
    return rested && pulled > partBytes;
  });
  expect(pulled).toBeLessThan(4 * partBytes);
  stop.abort();
  proxy.pass();
  proxy.reset();
  await expect(putting).rejects.toMatchObject({ code: 'ABORTED' });
  await patient.close();
});

test('wrong credentials or a wrong bucket never look like an absent object', async () => {
  const nobody = opened('p', {}, { AWS_ACCESS_KEY_ID: 'nobody' });
  const nowhere = openBlobStore('s3://no-such-bucket/p', { environment: (server as S3Server).environment });
  for (const wrong of [nobody, nowhere]) {
    await expect(wrong.readSmall('k')).rejects.toMatchObject({ code: 'BLOB_STORE_UNAVAILABLE' });
    await expect(keysOf(wrong)).rejects.toMatchObject({ code: 'BLOB_STORE_UNAVAILABLE' });
    await wrong.close();
  }
});

test('P18 a wrong bucket, a wrong key and a wrong secret are told plainly, without a secret', async () => {
  const secret = (server as S3Server).environment['AWS_SECRET_ACCESS_KEY'] ?? '';
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
  const { environment } = server as S3Server;
  expect(await told(openBlobStore('s3://no-such-bucket/p', { environment }))).toContain(
    '"no-such-bucket" does not exist',
  );
  expect(await told(opened('p', {}, { AWS_SECRET_ACCESS_KEY: 'canary-secret' }))).toContain(
    'credentials were refused',
  );
  expect(await told(opened('p', {}, { AWS_ACCESS_KEY_ID: 'nobody' }))).toMatch(
    /credentials were refused|access key/,
  );
});

test('P6 a signed URL gives the blob with the headers asked for, ranges too, until it ends', async () => {
  await store.put('a b/é.csv', bytes(1000), asPut());
  const url = await store.signedUrl('a b/é.csv', {
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
  const short = await store.signedUrl('a b/é.csv', { lifeSeconds: 1 });
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
