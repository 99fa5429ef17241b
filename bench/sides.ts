/**
 * What is compared, each as a function to run in a process of its own.
 *
 * - `raw-copy`: COPY of the same SELECT, bytes read from the same driver's socket and dropped: the floor.
 * - `live-<format>`: the service answers over HTTP, the client drops the bytes.
 * - `ckan-<format>`: the same request to a CKAN.
 * - `publish-hash`: all six blobs into a store that only hashes.
 * - `publish-store`: all six blobs into the blob store named by the environment.
 * - `put-only`: as many bytes, made of nothing, into the same blob store.
 * - `naive-<format>`, `naive-all`: rows through pg-query-stream, one scan a format, CSV by fast-csv.
 */
import { randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import type pg from 'pg';
import type { BlobStore } from '../src/blob-store/blob-store.ts';
import { openBlobStore } from '../src/blob-store/open.ts';
import { readColumns } from '../src/postgres/catalogue.ts';
import { ckanProfile } from '../src/ckan/profile.ts';
import { copyOut } from '../src/dump/copy.ts';
import { publish } from '../src/publish/publish.ts';
import type { PublishFence } from '../src/state/fence.ts';
import { wholeTable } from '../src/dump/selection.ts';
import { ckanFormats, formats, type CkanFormat, type Format } from '../src/format.ts';
import { createPool } from '../src/postgres/pool.ts';
import { publishedVariants } from '../src/config/setting.ts';
import { settings } from '../src/config/settings.ts';
import { asResourceId } from '../src/postgres/table.ts';
import { download } from './download.ts';
import { hashingStore } from './hashing-store.ts';
import { messageSkimmer } from './message-skimmer.ts';
import { naiveDump } from './naive.ts';

export interface SideInput {
  readonly readUrl: string;
  readonly table: string;
  /** Base URL of a running service, for the sides that are its clients. */
  readonly serviceUrl?: string;
  readonly blobStore?: string;
  /** Bytes that `put-only` uploads. */
  readonly bytes?: number;
}

export interface Work {
  run(): Promise<{ bytes: number; firstByteSeconds?: number }>;
  /** Let go of everything; what other processes cost goes into the sample. */
  end(): Promise<Readonly<Record<string, number>>>;
}

export interface Side {
  prepare(input: SideInput): Promise<Work>;
}

const profile = ckanProfile('2.12');
const published = publishedVariants.parse(settings.DUMPER_FORMATS.default);
const never = new AbortController().signal;

export const sides: Readonly<Record<string, Side>> = {
  'raw-copy': { prepare: rawCopy },
  'publish-hash': { prepare: (input) => publishInto(input, hashingStore()) },
  'publish-store': { prepare: (input) => publishInto(input, storeOf(input)) },
  'put-only': { prepare: putOnly },
  'naive-all': { prepare: (input) => naive(input, ckanFormats) },
  ...Object.fromEntries(
    formats.map((format) => [`live-${format}`, { prepare: (input: SideInput) => live(input, format) }]),
  ),
  ...Object.fromEntries(
    ckanFormats.map((format) => [`ckan-${format}`, { prepare: (input: SideInput) => live(input, format) }]),
  ),
  ...Object.fromEntries(
    ckanFormats.map((format) => [
      `naive-${format}`,
      { prepare: (input: SideInput) => naive(input, [format]) },
    ]),
  ),
};

function poolOf(input: SideInput): pg.Pool {
  return createPool({
    url: input.readUrl,
    applicationName: 'datastore-dumper bench',
    size: 4,
    onIdleError: (error) => {
      throw error;
    },
  });
}

function storeOf(input: SideInput): BlobStore {
  return openBlobStore(input.blobStore ?? '', {
    environment: process.env,
    signingSecret: randomBytes(16).toString('hex'),
  });
}

async function rawCopy(input: SideInput): Promise<Work> {
  const pool = poolOf(input);
  const client = await pool.connect();
  const id = asResourceId(input.table);
  const { copy } = wholeTable(id, await readColumns(client, id));
  return {
    run: async () => {
      let bytes = 0;
      const skim = messageSkimmer((length) => (bytes += length));
      await copyOut(client, copy, { onBytes: skim, signal: never, stallSeconds: 600 });
      return { bytes };
    },
    end: async () => {
      client.release();
      await pool.end();
      return {};
    },
  };
}

async function publishInto(input: SideInput, store: BlobStore): Promise<Work> {
  const pool = poolOf(input);
  const id = asResourceId(input.table);
  return {
    run: async () => {
      const world = {
        pool,
        store,
        fence: lonelyFence,
        profile: () => profile,
        variants: published,
        visibility: async () => ({ public: true, underPublicPrefix: false }),
        now: () => new Date(),
        lockSeconds: 5,
        stallSeconds: 600,
        maxSeconds: 3600,
        retireSeconds: 0,
        publicCacheSeconds: 300,
      };
      const outcome = await publish(world, id, { force: true, signal: never, onProgress: () => undefined });
      if (outcome.kind !== 'published') throw new Error(`not published: ${outcome.kind}`);
      return { bytes: Object.values(outcome.manifest.blobs).reduce((sum, blob) => sum + blob.bytes, 0) };
    },
    end: async () => {
      await pool.end();
      await store.close();
      return {};
    },
  };
}

/** One process, one table: nobody to fence off. */
const lonelyFence: PublishFence = {
  take: async (_id, generation) => generation + 1,
  switchUnder: async (_id, _generation, action) => ({ kind: 'done', value: await action() }),
};

async function putOnly(input: SideInput): Promise<Work> {
  const store = storeOf(input);
  const each = Math.round((input.bytes ?? 0) / published.length);
  const block = randomBytes(1024 * 1024);
  return {
    run: async () => {
      await Promise.all(
        published.map((variant) => store.put(`bench/${variant}`, blocks(block, each), putOptions(each))),
      );
      return { bytes: each * published.length };
    },
    end: async () => {
      await store.delete(published.map((variant) => `bench/${variant}`));
      await store.close();
      return {};
    },
  };
}

function blocks(block: Buffer, bytes: number): Readable {
  return Readable.from(
    (function* pieces() {
      for (let left = bytes; left > 0; left -= block.length)
        yield left < block.length ? block.subarray(0, left) : block;
    })(),
    { objectMode: false, highWaterMark: 1024 * 1024 },
  );
}

function putOptions(expectedBytes: number): Parameters<BlobStore['put']>[2] {
  return {
    contentType: 'application/octet-stream',
    contentDisposition: 'attachment',
    cacheControl: 'private, no-store',
    expectedBytes,
    signal: never,
  };
}

async function live(input: SideInput, format: Format): Promise<Work> {
  return {
    run: () => download(`${input.serviceUrl}/datastore/dump/${input.table}?format=${format}&latest=true`),
    end: async () => ({}),
  };
}

async function naive(input: SideInput, wanted: readonly CkanFormat[]): Promise<Work> {
  const pool = poolOf(input);
  return {
    run: async () => {
      let bytes = 0;
      for (const format of wanted) bytes += await naiveDump(pool, input.table, format);
      return { bytes };
    },
    end: async () => {
      await pool.end();
      return {};
    },
  };
}
