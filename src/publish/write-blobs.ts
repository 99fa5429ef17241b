/**
 * One scan, every blob: the table's COPY stream goes once through the formatter into the uploads of all variants.
 *
 * Whatever fails first (Postgres, an upload, the clock, a signal) ends all the others; nothing is reported complete
 * unless the COPY ended cleanly with as many rows as were written and the store holds each blob's exact length
 * (promise P1).
 */
import type { BlobStore } from '../blob-store/blob-store.ts';
import type { CkanProfile } from '../ckan/profile.ts';
import { contentDisposition } from '../content-disposition.ts';
import { DumperError } from '../errors.ts';
import { byteOrderMark, fileOf, formatOf, formatTable, type Format, type Variant } from '../format.ts';
import { createChunkPool, createChunkBuffer, type ChunkBuffer } from '../dump/chunk-pool.ts';
import { BlobSink } from './blob-sink.ts';
import { copyOut } from '../dump/copy.ts';
import { createFormatter } from '../dump/format/formatter.ts';
import type { Formatter } from '../dump/formatter.ts';
import { blobKey, type Manifest } from '../manifest.ts';
import { wholeTable } from '../dump/selection.ts';
import type { Snapshot } from '../dump/snapshot.ts';

export interface WriteBlobsOptions {
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

export interface WrittenBlobs {
  readonly rows: number;
  readonly blobs: Manifest['blobs'];
}

interface Upload {
  readonly variant: Variant;
  readonly key: string;
  readonly sink: BlobSink;
  readonly done: Promise<void>;
}

export async function writeBlobs(snapshot: Snapshot, options: WriteBlobsOptions): Promise<WrittenBlobs> {
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
    await takeBack(options.store, uploads);
    throw reason;
  }
}

/** Those of the blobs that were complete already would otherwise pile up with each attempt at a table that fails. */
async function takeBack(store: BlobStore, uploads: readonly Upload[]): Promise<void> {
  const ends = await Promise.allSettled(uploads.map((upload) => upload.done));
  const complete = uploads.filter((_, index) => ends[index]?.status === 'fulfilled').map(({ key }) => key);
  // The store may be what failed; the sweep finds what stays.
  if (complete.length > 0) await store.delete(complete).catch(() => undefined);
}

function startUpload(
  variant: Variant,
  snapshot: Snapshot,
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
  snapshot: Snapshot,
  uploads: readonly Upload[],
  options: WriteBlobsOptions,
  signal: AbortSignal,
): Promise<number> {
  const formats = [...new Set(uploads.map((upload) => formatOf(upload.variant)))];
  const { copy, columns } = wholeTable(snapshot.state.id, snapshot.columns, options.profile);
  const formatter = createFormatter({ columns, formats, profile: options.profile });
  const gatherers = gatherersOf(uploads);
  const deliver = (format: Format, bytes: Uint8Array): void => gatherers.get(format)?.take(bytes);
  for (const format of formats) deliver(format, formatter.head(format));
  const { rows } = await copyOut(snapshot.client, copy, {
    onBytes: (chunk) => {
      const rest = formatter.feed(chunk, deliver);
      options.onProgress(formatter.rows, total(uploads));
      return rest;
    },
    whenReady: () => heldBack(uploads),
    signal,
    stallSeconds: options.stallSeconds,
  });
  refuseMismatch(rows, formatter);
  for (const format of formats) deliver(format, formatter.tail(format));
  for (const gatherer of gatherers.values()) gatherer.flush();
  return rows;
}

/** One for each format, that feeds all its variants. */
function gatherersOf(uploads: readonly Upload[]): Map<Format, ChunkBuffer> {
  const pool = createChunkPool();
  const byFormat = Map.groupBy(uploads, ({ variant }) => formatOf(variant));
  const sinksOf = (of: readonly Upload[]): BlobSink[] => of.map(({ sink }) => sink);
  return new Map(Array.from(byFormat, ([format, of]) => [format, createChunkBuffer(sinksOf(of), pool)]));
}

function heldBack(uploads: readonly Upload[]): Promise<void> | undefined {
  const held = uploads.flatMap((upload) => upload.sink.backpressure() ?? []);
  return held.length === 0 ? undefined : Promise.all(held).then(() => undefined);
}

function total(uploads: readonly Upload[]): number {
  return uploads.reduce((sum, upload) => sum + upload.sink.bytes, 0);
}

function refuseMismatch(rows: number, formatter: Formatter): void {
  if (rows === formatter.rows) return;
  throw new DumperError('COPY_BROKEN', `Postgres sent ${rows} rows, ${formatter.rows} were written`);
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
