/** P1, P7, P21: an S3 link that breaks in every way leaves either the whole object or none, and says so in time. */
import { randomInt } from 'node:crypto';
import { Readable } from 'node:stream';
import { expect, test, vi } from 'vitest';
import { recordCount } from '../world/counts.ts';
import { eventually } from '../world/eventually.ts';
import { bytes, useBrokenS3 } from './broken-s3.ts';
import { asPut, bytesOf, partBytes, readAll, soon } from './stores.ts';

// Measured with a busy machine, and room beyond.
vi.setConfig({ testTimeout: 90_000 });

const s3 = useBrokenS3();

test('P1 P7 cuts of the link at random bytes leave the whole object or none', async () => {
  const size = 2 * partBytes + 1234;
  const whole = Buffer.concat([...bytesOf(size)]);
  const cuts = 24;
  let survived = 0;
  for (let cut = 0; cut < cuts; cut += 1) {
    const direction = cut % 4 === 3 ? 'toClient' : 'toTarget';
    s3.proxy.set({ cutAfter: { bytes: randomInt(direction === 'toClient' ? 600 : size), direction } });
    const key = `cut-${cut}`;
    const outcome = await s3.store.put(key, bytes(size), asPut(size)).then(
      () => 'whole',
      (error: unknown) => error,
    );
    s3.proxy.pass();
    s3.proxy.reset();
    const there = await readAll(s3.store, key);
    if (outcome === 'whole') survived += 1;
    else expect(outcome).toMatchObject({ code: 'BLOB_STORE_UNAVAILABLE' });
    if (outcome === 'whole' || there !== null) expect(there?.equals(whole)).toBe(true);
  }
  expect(s3.proxy.cuts).toBeGreaterThanOrEqual(cuts / 2);
  recordCount('P1', 'cuts of the S3 link', cuts);
  expect(survived).toBeLessThan(cuts);
});

test('P1 a part that is refused fails the upload, which is cleared away', async () => {
  s3.double.rule = (method, url) =>
    method === 'PUT' && url.searchParams.get('partNumber') === '3' ? 'error-500' : null;
  await expect(s3.store.put('k', bytes(4 * partBytes), asPut())).rejects.toMatchObject({
    code: 'BLOB_STORE_UNAVAILABLE',
  });
  expect(await s3.store.head('k')).toBeNull();
  expect(await s3.store.abortUnfinished(soon())).toBe(0);
});

test('a part that is refused once is sent again', async () => {
  let refused = 0;
  s3.double.rule = (method, url) => {
    if (method !== 'PUT' || url.searchParams.get('partNumber') !== '2' || refused > 0) return null;
    refused += 1;
    return 'error-500';
  };
  await s3.store.put('k', bytes(3 * partBytes), asPut());
  expect(refused).toBe(1);
  expect((await readAll(s3.store, 'k'))?.equals(Buffer.concat([...bytesOf(3 * partBytes)]))).toBe(true);
});

test('P1 a completion that is refused fails the upload, which is cleared away', async () => {
  s3.double.rule = (method, url) =>
    method === 'POST' && url.searchParams.has('uploadId') ? 'error-500' : null;
  await expect(s3.store.put('k', bytes(2 * partBytes), asPut())).rejects.toMatchObject({
    code: 'BLOB_STORE_UNAVAILABLE',
  });
  expect(await s3.store.head('k')).toBeNull();
  expect(await s3.store.abortUnfinished(soon())).toBe(0);
});

test.each([1000, 2 * partBytes])(
  'P1 a byte changed on its way is refused, object of %i bytes',
  async (size) => {
    s3.double.rule = (method, url) =>
      method === 'PUT' && (size === 1000 || url.searchParams.get('partNumber') === '1') ? 'flip-byte' : null;
    await expect(s3.store.put('k', bytes(size), asPut())).rejects.toMatchObject({
      code: 'BLOB_STORE_UNAVAILABLE',
    });
    expect(await s3.store.head('k')).toBeNull();
  },
);

test('a download that is cut is an error, never a short blob', async () => {
  await s3.store.put('k', bytes(partBytes), asPut());
  for (const by of ['reset', 'fin'] as const) {
    s3.proxy.reset();
    s3.proxy.set({ cutAfter: { bytes: 100_000, direction: 'toClient' }, cutBy: by });
    await expect(readAll(s3.store, 'k')).rejects.toMatchObject({ code: 'BLOB_STORE_UNAVAILABLE' });
    s3.proxy.pass();
  }
});

test('a download that falls silent is an error in bounded time, a reader that pauses is not', async () => {
  await s3.store.put('k', bytes(partBytes), asPut());
  const source = (await s3.store.read('k', new AbortController().signal)) as Readable;
  const iterator = source[Symbol.asyncIterator]();
  let got = (await iterator.next()).value.length as number;
  const paused = performance.now();
  await eventually('longer than the idle limit has passed', () => performance.now() - paused > 2500);
  got += (await iterator.next()).value.length as number;
  expect(got).toBeGreaterThan(0);
  s3.proxy.set({ blackhole: true });
  await expect(
    (async () => {
      for (let next = await iterator.next(); !next.done; next = await iterator.next());
    })(),
  ).rejects.toMatchObject({ code: 'BLOB_STORE_UNAVAILABLE' });
});

test.each(['refuse', 'blackhole'] as const)(
  'P21 an endpoint that is gone (%s) is told in bounded time',
  async (fault) => {
    const impatient = s3.open('gone', { answerSeconds: 1, idleSeconds: 1 });
    s3.proxy.set({ [fault]: true });
    s3.proxy.reset();
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
    s3.proxy.pass();
    s3.proxy.reset();
    await impatient.check();
    await impatient.close();
  },
);

test('an abort ends an upload although the store is silent', async () => {
  const patient = s3.open('silent', { idleSeconds: 600, answerSeconds: 600 });
  const stop = new AbortController();
  const putting = patient.put('k', bytes(3 * partBytes), asPut(0, stop.signal));
  await eventually('the first part is on its way', () =>
    s3.double.seen.some((seen) => seen.includes('partNumber=1')),
  );
  s3.proxy.set({ blackhole: true });
  stop.abort();
  await expect(putting).rejects.toMatchObject({ code: 'ABORTED' });
  s3.proxy.pass();
  s3.proxy.reset();
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
  const patient = s3.open('full', { idleSeconds: 600 });
  s3.double.seen.length = 0;
  s3.proxy.set({ bytesPerSecond: 200_000 });
  const putting = patient.put('k', source, asPut(0, stop.signal));
  await eventually('the upload has begun', () => s3.double.seen.length > 0);
  let before = -1;
  await eventually('the source is asked no more', () => {
    const rested = before === pulled;
    before = pulled;
    return rested && pulled > partBytes;
  });
  expect(pulled).toBeLessThan(4 * partBytes);
  stop.abort();
  s3.proxy.pass();
  s3.proxy.reset();
  await expect(putting).rejects.toMatchObject({ code: 'ABORTED' });
  await patient.close();
});
