/** P23: one conformance suite for every store; with P1 and P7 as far as a store keeps them. */
import { randomUUID } from 'node:crypto';
import { Readable } from 'node:stream';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import type { BlobStore } from '../../src/blob-store/blob-store.ts';
import { DumperError } from '../../src/errors.ts';
import { asPut, bytesOf, keysOf, partBytes, readAll, soon, storeWorlds, type StoreWorld } from './stores.ts';

// Measured with a busy machine, and room beyond.
vi.setConfig({ testTimeout: 90_000 });

describe.each(Object.entries(storeWorlds))('P23 %s', (_name, start) => {
  let world: StoreWorld | { skipped: string };
  let store: BlobStore;
  beforeAll(async () => {
    world = await start();
  });
  afterAll(async () => {
    if (!('skipped' in world)) await world.stop();
  });
  beforeEach((context) => {
    if ('skipped' in world) return context.skip(world.skipped);
    store = world.open(`a prefix/${randomUUID()}`);
  });
  afterEach(async () => {
    await store?.close();
  });
  const opened = (prefix: string): BlobStore => (world as StoreWorld).open(prefix);

  test.each([0, 1, partBytes, partBytes + 1, 3 * partBytes + 17])(
    'a blob of %i bytes reads back as it was written',
    async (bytes) => {
      const whole = Buffer.concat([...bytesOf(bytes)]);
      await store.put('t/r/t.csv', Readable.from(bytesOf(bytes), { objectMode: false }), asPut(bytes));
      expect(Buffer.compare((await readAll(store, 't/r/t.csv')) ?? Buffer.from('none'), whole)).toBe(0);
      expect(await store.head('t/r/t.csv')).toMatchObject({ bytes });
      expect(await store.abortUnfinished(soon())).toBe(0);
    },
  );

  test('a guess far too small does no harm', async () => {
    const bytes = 2 * partBytes + 5;
    await store.put('k', Readable.from(bytesOf(bytes), { objectMode: false }), asPut(1));
    expect((await store.head('k'))?.bytes).toBe(bytes);
  });

  test('headers stay with the blob, names in any script too', async () => {
    const contentDisposition = `attachment; filename="F___.csv"; filename*=UTF-8''${encodeURIComponent('Fläche – 面積 "🙂".csv')}`;
    const options = { ...asPut(), contentDisposition };
    await store.put('k.csv', Readable.from([Buffer.from('x')]), options);
    expect(await store.head('k.csv')).toMatchObject({
      bytes: 1,
      contentType: 'text/csv; charset=utf-8',
      contentDisposition,
    });
    const age = Date.now() - ((await store.head('k.csv'))?.modifiedAt.getTime() ?? 0);
    expect(Math.abs(age)).toBeLessThan(120_000);
  });

  test('a range gives its bytes, ends included', async () => {
    const whole = Buffer.concat([...bytesOf(partBytes + 1000)]);
    await store.put('k', Readable.from(bytesOf(whole.length), { objectMode: false }), asPut(whole.length));
    const last = whole.length - 1;
    for (const [start, end] of [
      [0, 0],
      [1, 5],
      [partBytes - 1, partBytes],
      [last, last],
      [0, last],
    ] as const) {
      const part = await store.read('k', new AbortController().signal, { start, end });
      const got = Buffer.concat(await (part as Readable).toArray());
      expect(Buffer.compare(got, whole.subarray(start, end + 1)), `${start}-${end}`).toBe(0);
    }
  });

  test('what is absent is null, and deleting it is no error', async () => {
    expect(await readAll(store, 'no/such')).toBeNull();
    expect(await store.head('no/such')).toBeNull();
    expect(await store.readSmall('no/such')).toBeNull();
    await store.put('a/b', Readable.from([Buffer.from('x')]), asPut());
    expect(await store.head('a')).toBeNull();
    await store.delete(['no/such', 'a/b']);
    expect(await store.head('a/b')).toBeNull();
    expect(await keysOf(store)).toEqual([]);
  });

  test.each([0, 1, partBytes + 7, 2 * partBytes + 9])(
    'P1 a source that fails after %i bytes leaves neither object nor upload, and its own error is told',
    async (bytes) => {
      const fault = new DumperError('COPY_BROKEN', 'the source broke');
      const failing = Readable.from(
        (function* () {
          yield* bytesOf(bytes);
          throw fault;
        })(),
        { objectMode: false },
      );
      await expect(store.put('k', failing, asPut(bytes))).rejects.toBe(fault);
      expect(await store.head('k')).toBeNull();
      expect(await keysOf(store)).toEqual([]);
      expect(await store.abortUnfinished(soon())).toBe(0);
    },
  );

  test.each([0, 3, partBytes + 7])(
    'P1 a source closed after %i bytes without an error is no end',
    async (bytes) => {
      const source = new Readable({ read: () => undefined });
      const pieces = [...bytesOf(bytes)];
      for (const piece of pieces) source.push(piece);
      const putting = store.put('k', source, asPut(bytes));
      setImmediate(() => source.destroy());
      await expect(putting).rejects.toMatchObject({ code: 'COPY_BROKEN' });
      expect(await store.head('k')).toBeNull();
      expect(await store.abortUnfinished(soon())).toBe(0);
    },
  );

  test.each([0, partBytes + 7])(
    'an abort ends an upload whose source is silent after %i bytes',
    async (bytes) => {
      const stop = new AbortController();
      const source = new Readable({ read: () => undefined });
      for (const piece of bytesOf(bytes)) source.push(piece);
      const putting = store.put('k', source, asPut(bytes, stop.signal));
      setImmediate(() => stop.abort());
      await expect(putting).rejects.toMatchObject({ code: 'ABORTED' });
      expect(source.destroyed).toBe(true);
      expect(await store.head('k')).toBeNull();
      expect(await store.abortUnfinished(soon())).toBe(0);
      await expect(
        store.put('k', Readable.from([Buffer.from('x')]), asPut(1, stop.signal)),
      ).rejects.toMatchObject({
        code: 'ABORTED',
      });
    },
  );

  test('an abort ends a download', async () => {
    await store.put('k', Readable.from(bytesOf(3 * partBytes), { objectMode: false }), asPut());
    const stop = new AbortController();
    const source = (await store.read('k', stop.signal)) as Readable;
    await expect(
      (async () => {
        for await (const _ of source) stop.abort();
      })(),
    ).rejects.toThrow();
  });

  test('a small object is switched only from the version that was read', async () => {
    const [one, two] = [Buffer.from('{"one":1}'), Buffer.from('{"two":2}')];
    expect(await store.replaceSmall('m.json', one, 'application/json', 'none such')).toBe('conflict');
    expect(await store.replaceSmall('m.json', one, 'application/json', null)).toBe('switched');
    expect(await store.replaceSmall('m.json', two, 'application/json', null)).toBe('conflict');
    const read = await store.readSmall('m.json');
    expect(Buffer.from(read?.body ?? []).toString()).toBe('{"one":1}');
    expect(await store.replaceSmall('m.json', two, 'application/json', read?.version ?? '')).toBe('switched');
    expect(await store.replaceSmall('m.json', one, 'application/json', read?.version ?? '')).toBe('conflict');
    expect(Buffer.from((await store.readSmall('m.json'))?.body ?? []).toString()).toBe('{"two":2}');
    expect((await store.head('m.json'))?.contentType).toBe('application/json');
    expect(await store.abortUnfinished(soon())).toBe(0);
  });

  test('of concurrent switches from one version exactly one wins', async () => {
    let version: string | null = null;
    for (let round = 0; round < 5; round += 1) {
      const bodies = Array.from({ length: 8 }, (_, writer) => Buffer.from(JSON.stringify({ round, writer })));
      const seen: string | null = version;
      const outcomes = await Promise.all(
        bodies.map((body) => store.replaceSmall('m.json', body, 'application/json', seen)),
      );
      expect(outcomes.filter((outcome) => outcome === 'switched')).toHaveLength(1);
      const read = await store.readSmall('m.json');
      expect(Buffer.from(read?.body ?? [])).toEqual(bodies[outcomes.indexOf('switched')]);
      version = read?.version ?? null;
    }
  });

  test('more than a thousand keys are listed and deleted, and none of a neighbour', async () => {
    const prefix = `n/${randomUUID()}`;
    const [ours, neighbour] = [opened(prefix), opened(`${prefix}x`)];
    await neighbour.put('theirs', Readable.from([Buffer.from('x')]), asPut());
    const names = Array.from(
      { length: 1100 },
      (_, index) => `t${index % 3}/${String(index).padStart(4, '0')}`,
    );
    const put = async (name: string): Promise<void> =>
      ours.put(name, Readable.from([Buffer.from('x')]), asPut(1));
    for (let first = 0; first < names.length; first += 50)
      await Promise.all(names.slice(first, first + 50).map(put));
    expect((await keysOf(ours)).toSorted()).toEqual(names.toSorted());
    expect(await keysOf(ours, 't1/')).toHaveLength(names.filter((name) => name.startsWith('t1/')).length);
    expect(await keysOf(ours, 't1/000')).toEqual(['t1/0001', 't1/0004', 't1/0007']);
    for await (const { bytes } of ours.list('t2/')) expect(bytes).toBe(1);
    await ours.delete(names);
    expect(await keysOf(ours)).toEqual([]);
    expect(await keysOf(neighbour)).toEqual(['theirs']);
    await Promise.all([ours.close(), neighbour.close()]);
  });

  test('odd names are kept apart', async () => {
    const odd = ['a b/c', 'a+b/c', 'a%20b/c', 'ä/面積', 'q\'/"&<>', 'x?y=1#z', '.dot/~', 'e\u0301/é'];
    for (const key of odd) await store.put(key, Readable.from([Buffer.from(key)]), asPut());
    for (const key of odd) expect((await readAll(store, key))?.toString()).toBe(key);
    expect((await keysOf(store)).toSorted()).toEqual(odd.toSorted());
  });

  test.each([
    '../x',
    'a/../../x',
    '/etc/passwd',
    'a//b',
    'a/./b',
    '',
    'a/',
    '..',
    'a\0b',
    'a\nb',
    '.headers/x',
    '.lock',
  ])('P17 a name that could leave the store is refused: %j', async (key) => {
    await expect(store.put(key, Readable.from([Buffer.from('x')]), asPut())).rejects.toMatchObject({
      code: 'NOT_FOUND',
    });
    await expect(store.head(key)).rejects.toMatchObject({ code: 'NOT_FOUND' });
    await expect(store.read(key, new AbortController().signal)).rejects.toMatchObject({ code: 'NOT_FOUND' });
    await expect(store.delete([key])).rejects.toMatchObject({ code: 'NOT_FOUND' });
    await expect(store.signedUrl(key, { lifeSeconds: 1 })).rejects.toMatchObject({ code: 'NOT_FOUND' });
    expect(await keysOf(store)).toEqual([]);
  });

  test('a signed URL names one blob and ends', async () => {
    await store.put('a b/é.csv', Readable.from([Buffer.from('x')]), asPut());
    const [one, other] = [
      await store.signedUrl('a b/é.csv', { lifeSeconds: 300, cacheControl: 'private, no-store' }),
      await store.signedUrl('a b/é.csv', { lifeSeconds: 300 }),
    ];
    expect(one).not.toBe(other);
    expect(one).toContain('a%20b/%C3%A9.csv?');
  });

  test('check passes on a store that can be written, and leaves nothing', async () => {
    await store.check();
    expect(await keysOf(store)).toEqual([]);
    expect(await store.abortUnfinished(soon())).toBe(0);
  });
});
