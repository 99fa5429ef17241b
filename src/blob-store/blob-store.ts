/**
 * Where blobs live: the port that `publish` writes through and `serve` reads through. Keys are relative to the
 * configured prefix; nothing outside the prefix is ever read, listed or deleted.
 *
 * Two stores implement it: `s3.ts` (any S3 endpoint) and `directory.ts` (served by this service under `/blobs/`). One
 * conformance suite, `test/blob-store/store.test.ts`, runs against every store (promise P23, two equal stores).
 */
import type { Readable } from 'node:stream';
import { DumperError } from '../errors.ts';

export interface BlobHeaders {
  readonly contentType: string;
  readonly contentDisposition: string;
  readonly cacheControl: string;
}

export interface PutOptions extends BlobHeaders {
  /** A guess of the final size: the part size grows with it, since an upload has at most 10,000 parts. */
  readonly expectedBytes: number;
  readonly signal: AbortSignal;
}

/**
 * The bytes of a blob that is being written; any `Readable` of buffers is one. A chunk is valid until the next one is
 * requested, so that its memory can be reused. After `destroy(error)` a pending and each further chunk is that error.
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
  /** Replaces the blob's own header in the answer, so that a private blob goes out with `private, no-store`. */
  readonly cacheControl?: string;
  readonly contentDisposition?: string;
}

export interface BlobStore {
  readonly kind: 's3' | 'directory';
  /** Write a blob once. Rejects when the source fails; then nothing is left but what `abortUnfinished` finds. */
  put(key: string, source: BlobSource, options: PutOptions): Promise<void>;
  /** Stream a blob's bytes, or a range of them; null where there is none. */
  read(key: string, signal: AbortSignal, range?: ByteRange): Promise<Readable | null>;
  head(key: string): Promise<BlobHead | null>;
  /** Read a whole object of at most 16 MiB (a manifest); a larger one is `MANIFEST_INVALID`. */
  readSmall(key: string): Promise<SmallObject | null>;
  /**
   * Replace a small object if its version is still `expected` (null: only if it does not exist).
   * A store that ignores conditions always answers `switched`; the fence in the state database still keeps workers apart.
   */
  replaceSmall(
    key: string,
    body: Uint8Array,
    contentType: string,
    expected: string | null,
  ): Promise<'switched' | 'conflict'>;
  list(prefix: string): AsyncIterable<BlobListing>;
  /** Delete keys; an absent key is no error. */
  delete(keys: readonly string[]): Promise<void>;
  /** Remove unfinished uploads (multipart uploads, temporary files) that began before `before`; returns how many. */
  abortUnfinished(before: Date): Promise<number>;
  /** A URL that gives this blob to anyone who has it, until it expires. For a directory: a path under `/blobs/`. */
  signedUrl(key: string, options: SignOptions): Promise<string>;
  /** Throws `BLOB_STORE_UNAVAILABLE` with the reason when the store cannot be reached or written. */
  check(): Promise<void>;
  close(): Promise<void>;
}

/** First segments that a directory store keeps for itself; no key begins with one. */
export const reservedSegments: readonly string[] = ['.headers', '.unfinished', '.lock'];

// eslint-disable-next-line no-control-regex -- control characters are what is refused
const forbidden = /[\u0000-\u001f\u007f\\]/;

/**
 * Return the key, or throw `NOT_FOUND` when it could name anything but one object inside the store. Keys are made of
 * resource ids and revisions, but a store trusts no caller (promise P17, no injection).
 */
export function checkedKey(key: string): string {
  const segments = key.split('/');
  const bad =
    segments.some((segment) => segment === '' || segment === '.' || segment === '..') ||
    reservedSegments.includes(segments[0] ?? '') ||
    forbidden.test(key) ||
    Buffer.byteLength(key) > 900;
  if (bad) throw new DumperError('NOT_FOUND', 'no such blob');
  return key;
}

/** What a transfer rejects with after its signal aborted: the catalogue's error that was the reason, else `ABORTED`. */
export function transferAborted(signal: AbortSignal): DumperError {
  const reason: unknown = signal.reason;
  if (reason instanceof DumperError) return reason;
  return new DumperError('ABORTED', 'the transfer was aborted', { cause: reason });
}

/** The error of a failed source: its own, or `COPY_BROKEN` where it was closed before its last byte. */
export function sourceError(error: unknown): unknown {
  if ((error as { code?: unknown }).code !== 'ERR_STREAM_PREMATURE_CLOSE') return error;
  return new DumperError('COPY_BROKEN', 'the source of an upload ended before its last byte', {
    cause: error,
  });
}

/** Throws `MANIFEST_INVALID` for what is too large to be read at once. */
export function requireSmall(bytes: number): void {
  if (bytes <= smallObjectBytes) return;
  throw new DumperError('MANIFEST_INVALID', 'a small object of more than 16 MiB is refused');
}
