/**
 * One scan writes every blob: the table's COPY stream goes once through the formatter into the uploads of all variants.
 *
 * Whatever fails first (Postgres, an upload, the clock, a signal) ends all the others. Nothing is reported complete unless
 * the COPY ended cleanly with as many rows as were written, and the store holds the exact length of each blob (P1, no
 * truncated blob is published).
 */
import { createHash } from 'node:crypto';
import type { BlobSource, BlobStore } from '../blob-store/blob-store.ts';
import type { CkanProfile } from '../ckan/profile.ts';
import { contentDisposition } from '../content-disposition.ts';
import { DumperError } from '../errors.ts';
import { byteOrderMark, fileOf, formatOf, formatTable, type Format, type Variant } from '../format.ts';
import { createChunkPool, createChunkBuffer, type Chunk, type ChunkBuffer } from '../dump/chunk-pool.ts';
import { copyRows } from '../dump/copy.ts';
import { createFormatter } from '../dump/format/formatter.ts';
import { blobKey, type Manifest } from '../manifest.ts';
import { wholeTable } from '../dump/selection.ts';
import type { RevisionSnapshot } from '../dump/snapshot.ts';

interface WriteBlobsOptions {
  readonly store: BlobStore;
  readonly profile: CkanProfile;
  readonly variants: readonly Variant[];
  /** Where the blobs go: `<prefix>[bom/]<id>.<ext>`. */
  readonly prefix: string;
  readonly cacheControl: string;
  readonly stallSeconds: number;
  readonly signal: AbortSignal;
  readonly onProgress: (rows: number, bytes: number) => void;
}

interface WrittenBlobs {
  readonly rows: number;
  readonly blobs: Manifest['blobs'];
}

interface Upload {
  readonly variant: Variant;
  readonly key: string;
  readonly sink: BlobSink;
  readonly done: Promise<void>;
}

export async function writeBlobs(
  snapshot: RevisionSnapshot,
  options: WriteBlobsOptions,
): Promise<WrittenBlobs> {
  const failed = new AbortController();
  const signal = AbortSignal.any([options.signal, failed.signal]);
  const uploads = options.variants.map((variant) => startUpload(variant, snapshot, options, signal));
  try {
    // An upload that fails ends the scan at once instead of waiting for its next chunk.
    for (const upload of uploads) upload.done.catch((error: unknown) => failed.abort(error));
    const rows = await scan(snapshot, uploads, options, signal);
    const digests = uploads.map((upload) => upload.sink.finish());
    await Promise.all(uploads.map((upload) => upload.done));
    await verifyLengths(options.store, uploads);
    return { rows, blobs: describe(uploads, digests) };
  } catch (error) {
    const reason = failed.signal.aborted ? failed.signal.reason : error;
    for (const upload of uploads)
      upload.sink.fail(reason instanceof Error ? reason : new Error(String(reason)));
    await deleteComplete(options.store, uploads);
    throw reason;
  }
}

/** Blobs that were complete already would otherwise pile up with each attempt at a table that fails. */
async function deleteComplete(store: BlobStore, uploads: readonly Upload[]): Promise<void> {
  const ends = await Promise.allSettled(uploads.map((upload) => upload.done));
  const complete = uploads.filter((_, index) => ends[index]?.status === 'fulfilled').map(({ key }) => key);
  await deleteAttempt(store, complete);
}

/**
 * Delete the blobs of an attempt that failed: no manifest names them. The store may be what failed, so this rejects never;
 * what stays, the sweep finds.
 */
export async function deleteAttempt(store: BlobStore, keys: readonly string[]): Promise<void> {
  if (keys.length > 0) await store.delete(keys).catch(() => undefined);
}

function startUpload(
  variant: Variant,
  snapshot: RevisionSnapshot,
  options: WriteBlobsOptions,
  signal: AbortSignal,
): Upload {
  const sink = new BlobSink();
  const { format, bom, extension, mediaType } = fileOf(variant);
  const { id, bytes } = snapshot.state;
  const key = blobKey(options.prefix, id, variant);
  if (bom) sink.accept({ bytes: byteOrderMark, release: () => undefined });
  const done = options.store.put(key, sink.source, {
    contentType: mediaType,
    contentDisposition: contentDisposition(`${id}.${extension}`),
    cacheControl: options.cacheControl,
    expectedBytes: bytes * formatTable[format].growth,
    signal,
  });
  return { variant, key, sink, done };
}

async function scan(
  snapshot: RevisionSnapshot,
  uploads: readonly Upload[],
  options: WriteBlobsOptions,
  signal: AbortSignal,
): Promise<number> {
  const formats = [...new Set(uploads.map((upload) => formatOf(upload.variant)))];
  const { copy, columns } = wholeTable(snapshot.state.id, snapshot.columns);
  const formatter = createFormatter({ columns, formats, profile: options.profile });
  const buffers = buffersByFormat(uploads);
  const deliver = (format: Format, bytes: Uint8Array): void => buffers.get(format)?.take(bytes);
  for (const format of formats) deliver(format, formatter.head(format));
  const rows = await copyRows(snapshot.client, copy, formatter, {
    onBytes: (chunk) => {
      const rest = formatter.feed(chunk, deliver);
      options.onProgress(formatter.rows, total(uploads));
      return rest;
    },
    whenReady: () => backpressure(uploads),
    signal,
    stallSeconds: options.stallSeconds,
  });
  for (const format of formats) deliver(format, formatter.tail(format));
  for (const buffer of buffers.values()) buffer.flush();
  return rows;
}

/** One chunk buffer for each format; it feeds all variants of the format. */
function buffersByFormat(uploads: readonly Upload[]): Map<Format, ChunkBuffer> {
  const pool = createChunkPool();
  const byFormat = Map.groupBy(uploads, ({ variant }) => formatOf(variant));
  const bufferOf = (alike: readonly Upload[]): ChunkBuffer =>
    createChunkBuffer(
      alike.map(({ sink }) => sink),
      pool,
    );
  return new Map(Array.from(byFormat, ([format, alike]) => [format, bufferOf(alike)]));
}

function backpressure(uploads: readonly Upload[]): Promise<void> | undefined {
  const waits = uploads.flatMap((upload) => upload.sink.backpressure() ?? []);
  return waits.length === 0 ? undefined : Promise.all(waits).then(() => undefined);
}

function total(uploads: readonly Upload[]): number {
  return uploads.reduce((sum, upload) => sum + upload.sink.bytes, 0);
}

async function verifyLengths(store: BlobStore, uploads: readonly Upload[]): Promise<void> {
  await Promise.all(
    uploads.map(async ({ key, sink }) => {
      const head = await store.head(key);
      if (head?.bytes === sink.bytes) return;
      throw new DumperError(
        'BLOB_CORRUPT',
        `blob ${key} holds ${head?.bytes ?? 'no'} bytes, ${sink.bytes} were sent`,
      );
    }),
  );
}

function describe(uploads: readonly Upload[], digests: readonly string[]): Manifest['blobs'] {
  return Object.fromEntries(
    uploads.map(({ variant, key, sink }, index) => [
      variant,
      {
        key,
        bytes: sink.bytes,
        sha256: digests[index] ?? '',
        content_type: fileOf(variant).mediaType,
      },
    ]),
  );
}

/** Bytes that may wait in one sink before the scan has to wait. */
const backlogBytes = 1024 * 1024;

/**
 * One blob on its way into the store: bytes are counted and hashed as they flow into the upload, and a slow upload holds
 * up the scan, and so Postgres (P14, memory stays flat).
 */
export class BlobSink {
  /** What the store uploads. */
  readonly source: BlobSource;
  bytes = 0;
  readonly #hash = createHash('sha256');
  readonly #waiting: Chunk[] = [];
  #backlog = 0;
  /** The chunk that the store reads at the moment, until it asks for the next one. */
  #current: Chunk | null = null;
  #ended: { readonly error: Error | null } | null = null;
  /** Set while the store waits for more. */
  #more: PromiseWithResolvers<void> | null = null;
  /** Set while the upload is behind. */
  #drained: PromiseWithResolvers<void> | null = null;

  constructor() {
    this.source = {
      destroy: (error) => this.fail(error ?? new Error('the upload was given up')),
      [Symbol.asyncIterator]: () => ({
        next: () => this.#next(),
        return: async () => {
          this.fail(new Error('the upload was given up'));
          return { done: true, value: undefined };
        },
      }),
    };
  }

  /** Take a chunk, whose bytes stay unchanged until it is released. */
  accept(chunk: Chunk): void {
    if (this.#ended !== null) return chunk.release();
    this.#hash.update(chunk.bytes);
    this.bytes += chunk.bytes.length;
    this.#backlog += chunk.bytes.length;
    this.#waiting.push(chunk);
    if (this.#backlog > backlogBytes) this.#drained ??= Promise.withResolvers();
    this.#more?.resolve();
  }

  /** A promise while the upload is behind; undefined while more may come. */
  backpressure(): Promise<void> | undefined {
    return this.#drained?.promise;
  }

  /** End the blob, once the scan is known to be complete. Returns the hex sha256 of all its bytes. */
  finish(): string {
    this.#ended ??= { error: null };
    this.#more?.resolve();
    return this.#hash.digest('hex');
  }

  /** Make the upload fail with `error`, so that it cleans up; no effect once the last byte was read. */
  fail(error: Error): void {
    if (this.#ended?.error) return;
    this.#ended = { error };
    for (const chunk of this.#waiting.splice(0)) chunk.release();
    this.#backlog = 0;
    this.#more?.resolve();
    this.#resume();
  }

  async #next(): Promise<IteratorResult<Uint8Array, undefined>> {
    this.#current?.release();
    this.#current = null;
    while (this.#waiting.length === 0 && this.#ended === null) {
      this.#more = Promise.withResolvers();
      await this.#more.promise;
      this.#more = null;
    }
    const chunk = this.#waiting.shift();
    if (chunk === undefined) {
      if (this.#ended?.error) throw this.#ended.error;
      return { done: true, value: undefined };
    }
    this.#current = chunk;
    this.#backlog -= chunk.bytes.length;
    if (this.#backlog <= backlogBytes / 2) this.#resume();
    return { done: false, value: chunk.bytes };
  }

  #resume(): void {
    this.#drained?.resolve();
    this.#drained = null;
  }
}
