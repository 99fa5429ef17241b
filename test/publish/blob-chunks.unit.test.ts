/** P1, P14: blobs that share memory which is used again are whole, whatever the pace of their uploads. */
import { createHash, randomBytes, randomInt } from 'node:crypto';
import { expect, test } from 'vitest';
import { createChunkPool, createChunkBuffer, type ChunkPool } from '../../src/dump/chunk-pool.ts';
import { BlobSink } from '../../src/publish/write-blobs.ts';

/** A pool that counts, and spoils what is given back, as the next user would. */
function spoilingPool(): { pool: ChunkPool; made: () => number; out: () => number } {
  const inner = createChunkPool();
  const known = new Set<Buffer>();
  let out = 0;
  return {
    pool: {
      take: () => {
        const buffer = inner.take();
        known.add(buffer);
        out += 1;
        return buffer;
      },
      give: (buffer) => {
        out -= 1;
        inner.give(buffer.fill(0xee));
      },
    },
    made: () => known.size,
    out: () => out,
  };
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** An upload that keeps each chunk for `turns` of the event loop before it copies it. */
async function upload(sink: BlobSink, turns: number): Promise<Buffer> {
  const copies: Buffer[] = [];
  for await (const chunk of sink.source) {
    for (let waited = 0; waited < turns; waited += 1) await turn();
    copies.push(Buffer.from(chunk));
  }
  return Buffer.concat(copies);
}

test('P1 P14 uploads at any pace get the same bytes out of a few chunks', async () => {
  const { pool, made, out } = spoilingPool();
  const whole = randomBytes(24 * 2 ** 20);
  const sinks = [new BlobSink(), new BlobSink(), new BlobSink()];
  const uploads = sinks.map((sink, pace) => upload(sink, pace * 3));
  const gatherer = createChunkBuffer(sinks, pool);
  for (let at = 0; at < whole.length;) {
    const piece = whole.subarray(at, at + randomInt(1, 400_000));
    gatherer.take(piece);
    at += piece.length;
    await Promise.all(sinks.map((sink) => sink.backpressure()));
  }
  gatherer.flush();
  const digests = sinks.map((sink) => sink.finish());
  const expected = createHash('sha256').update(whole).digest('hex');
  expect(digests).toEqual([expected, expected, expected]);
  for (const bytes of await Promise.all(uploads)) expect(bytes.equals(whole)).toBe(true);
  expect(sinks.map(({ bytes }) => bytes)).toEqual([whole.length, whole.length, whole.length]);
  expect(made()).toBeLessThan(12);
  expect(out()).toBe(0);
});

test('P1 a sink that failed tells its upload, takes no more, and keeps no chunk', async () => {
  const { pool, out } = spoilingPool();
  const sink = new BlobSink();
  const gatherer = createChunkBuffer([sink], pool);
  gatherer.take(randomBytes(2 ** 21));
  expect(sink.backpressure()).toBeDefined();
  const fault = new Error('the COPY broke');
  sink.fail(fault);
  await sink.backpressure();
  gatherer.take(randomBytes(2 ** 20));
  gatherer.flush();
  await expect(upload(sink, 0)).rejects.toBe(fault);
  expect(out()).toBe(0);
});

test('P1 an upload that waits is told of the failure, and of an orderly end', async () => {
  const [failing, ending] = [new BlobSink(), new BlobSink()];
  const uploads = [upload(failing, 0), upload(ending, 0)];
  await turn();
  failing.fail(new Error('gone'));
  ending.finish();
  await expect(uploads[0]).rejects.toThrow('gone');
  expect((await uploads[1])?.length).toBe(0);
});
