/**
 * Where blobs live: the port that `dump` writes through and `serve` reads through. Keys are relative to the
 * configured prefix; nothing outside the prefix is ever read, listed or deleted.
 *
 * Two stores keep it: `blob-store/s3.ts` (any S3 endpoint) and `blob-store/directory.ts` (served by this service
 * under `/blobs/`). One conformance suite runs against both (promise P23).
 */
import type { Readable } from 'node:stream';

export interface BlobHeaders {
  readonly contentType: string;
  readonly contentDisposition: string;
  readonly cacheControl: string;
  /** Hex sha256 and rows travel as object metadata, so that a mirror can check them. */
  readonly metadata?: Readonly<Record<string, string>>;
}

export interface PutOptions extends BlobHeaders {
  /** A guess of the final size: the part size grows with it, since an upload has at most 10,000 parts. */
  readonly expectedBytes: number;
  readonly signal: AbortSignal;
}

/**
 * Bytes on their way into a blob; any `Readable` of buffers is one. A chunk is valid until the next one is asked for, so
 * that its memory can be used again. After `destroy(error)` a pending and each further chunk is that error.
 */
export interface BlobSource extends AsyncIterable<Uint8Array> {
  destroy(error?: Error): unknown;
}

export interface ByteRange {
  /** First byte, inclusive. */
  readonly start: number;
  /** Last byte, inclusive. */
  readonly end: number;
}

export interface BlobHead {
  readonly bytes: number;
  readonly contentType: string;
  readonly contentDisposition: string;
  readonly modifiedAt: Date;
}

export interface BlobListing {
  readonly key: string;
  readonly bytes: number;
  readonly modifiedAt: Date;
}

/** 16 MiB. */
export const smallObjectBytes = 16 * 1024 * 1024;

export interface SmallObject {
  readonly body: Uint8Array;
  /** Opaque version for compare-and-swap (an ETag). */
  readonly version: string;
}

export interface SignOptions {
  readonly lifeSeconds: number;
  /** Overrides of the answer's headers, so that a private blob goes out with `private, no-store`. */
  readonly cacheControl?: string;
  readonly contentDisposition?: string;
}

export interface BlobStore {
  readonly kind: 's3' | 'directory';
  /** Write a blob once. Rejects when the source fails, with nothing left behind but what `abortUnfinished` finds. */
  put(key: string, source: BlobSource, options: PutOptions): Promise<void>;
  /** Stream a blob's bytes, or a range of them; null where there is none. */
  read(key: string, signal: AbortSignal, range?: ByteRange): Promise<Readable | null>;
  head(key: string): Promise<BlobHead | null>;
  /** Read an object of at most 16 MiB whole (manifests); a larger one is `MANIFEST_INVALID`. */
  readSmall(key: string): Promise<SmallObject | null>;
  /**
   * Replace a small object if its version is still `expected` (null: only if it does not exist).
   * A store that ignores conditions always answers `switched`; the fence in the state database is the first belt.
   */
  replaceSmall(
    key: string,
    body: Uint8Array,
    contentType: string,
    expected: string | null,
  ): Promise<'switched' | 'conflict'>;
  list(prefix: string): AsyncIterable<BlobListing>;
  /** Delete keys; absent ones are no error. */
  delete(keys: readonly string[]): Promise<void>;
  /** Remove unfinished uploads (multipart uploads, temporary files) begun before `before`; returns how many. */
  abortUnfinished(before: Date): Promise<number>;
  /** A URL that gives this blob to whoever holds it, until its life ends. For a directory: a path under `/blobs/`. */
  signedUrl(key: string, options: SignOptions): Promise<string>;
  /** Throws `BLOB_STORE_UNAVAILABLE` with the reason when the store cannot be reached or written. */
  check(): Promise<void>;
  close(): Promise<void>;
}
