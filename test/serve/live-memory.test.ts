/** P14, P22: the memory of a live answer is used again, and never before a slow client was given what is in it. */
import { createHash } from 'node:crypto';
import http from 'node:http';
import { PassThrough } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { createGunzip, createZstdDecompress } from 'node:zlib';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { formats } from '../../src/format.ts';
import { startServing, type Serving } from './serving.ts';

const id = 'c0000000-0000-4000-8000-0000000000c3';
const decoders = {
  identity: () => new PassThrough(),
  gzip: () => createGunzip(),
  zstd: () => createZstdDecompress(),
};

let serving: Serving;
beforeAll(async () => {
  serving = await startServing({ environment: { DUMPER_COMPRESS: 'on' } });
  await serving.createTable(id, 30_000);
  await serving.publish(id);
});
afterAll(() => serving.close());

interface Download {
  readonly source: unknown;
  readonly bytes: number;
  readonly sha256: string;
}

/** Read a dump, resting `restMilliseconds` after each piece. */
async function download(
  query: string,
  encoding: keyof typeof decoders,
  restMilliseconds: number,
): Promise<Download> {
  const response = await new Promise<http.IncomingMessage>((resolve, reject) => {
    const headers = { 'accept-encoding': encoding };
    const url = `${serving.url}/datastore/dump/${id}?${query}`;
    http.get(url, { agent: false, headers }, resolve).on('error', reject);
  });
  const hash = createHash('sha256');
  let bytes = 0;
  await pipeline(response, decoders[encoding](), async (pieces: AsyncIterable<Buffer>) => {
    for await (const piece of pieces) {
      hash.update(piece);
      bytes += piece.length;
      if (restMilliseconds > 0) await delay(restMilliseconds);
    }
  });
  return { source: response.headers['x-dump-source'], bytes, sha256: hash.digest('hex') };
}

test.each(['identity', 'gzip', 'zstd'] as const)(
  'P14 %s: slow readers of every format get the bytes of the blobs',
  async (encoding) => {
    for (const format of formats) {
      const blob = await download(`format=${format}&redirect=false`, 'identity', 0);
      expect([blob.source, blob.bytes > 5_000_000]).toEqual(['blob', true]);
      const live = await download(`format=${format}&latest=true`, encoding, 2);
      expect(live).toEqual({ ...blob, source: 'live' });
    }
  },
);
