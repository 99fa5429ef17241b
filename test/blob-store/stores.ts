/** The stores under test; the conformance suite runs against each. A new store is one more entry. */
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import type { BlobStore, PutOptions } from '../../src/blob-store/blob-store.ts';
import { openBlobStore, type OpenOptions } from '../../src/blob-store/open.ts';
import { startS3 } from '../world/s3.ts';

export const signingSecret = 'a secret of the tests';

export interface StoreWorld {
  /** Opens a store under a prefix of its own. */
  open(prefix: string, options?: OpenOptions): BlobStore;
  stop(): Promise<void>;
}

export const storeWorlds = {
  directory: async () => {
    const directory = await mkdtemp(path.join(tmpdir(), 'dumper-blobs-'));
    return {
      open: (prefix, options) =>
        openBlobStore(pathToFileURL(path.join(directory, prefix)).href, { signingSecret, ...options }),
      stop: () => rm(directory, { recursive: true }),
    };
  },
  s3: async () => {
    const server = await startS3();
    if ('skipped' in server) return server;
    const bucket = await server.createBucket();
    return {
      open: (prefix, options) =>
        openBlobStore(`s3://${bucket}/${prefix}`, { environment: server.environment, ...options }),
      stop: () => server.stop(),
    };
  },
} satisfies Record<string, () => Promise<StoreWorld | { skipped: string }>>;

export const partBytes = 5 * 1024 * 1024;

export function asPut(expectedBytes = 0, signal: AbortSignal = new AbortController().signal): PutOptions {
  return {
    expectedBytes,
    signal,
    contentType: 'text/csv; charset=utf-8',
    contentDisposition: 'attachment; filename="a.csv"',
    cacheControl: 'public, max-age=60',
  };
}

const pattern = randomBytes(1024 * 1024);

/** `bytes` bytes that differ from part to part, in pieces of an odd size. */
export function* bytesOf(bytes: number): Generator<Buffer> {
  const piece = 100_003;
  for (let start = 0; start < bytes; start += piece) {
    const length = Math.min(piece, bytes - start);
    yield Buffer.from(pattern.subarray(start % 900_001, (start % 900_001) + length));
  }
}

export async function readAll(store: BlobStore, key: string): Promise<Buffer | null> {
  const source = await store.read(key, new AbortController().signal);
  return source === null ? null : Buffer.concat(await source.toArray());
}

export async function keysOf(store: BlobStore, under = ''): Promise<string[]> {
  return (await Array.fromAsync(store.list(under))).map(({ key }) => key);
}

/** After now: everything that was begun counts as begun before. */
export function soon(): Date {
  return new Date(Date.now() + 60_000);
}
