/** Opens the blob store that `DUMPER_BLOB_STORE` names. */
import { fileURLToPath } from 'node:url';
import type { Environment } from '../config/config.ts';
import { DumperError } from '../errors.ts';
import type { BlobStore } from './blob-store.ts';
import { openDirectory } from './directory.ts';
import { openS3 } from './s3.ts';

export interface OpenOptions {
  /** Holds the SDK's `AWS_*` variables; what is not there, the SDK finds by itself. */
  readonly environment?: Environment;
  /** Key of a directory store's signed paths. Required for `file://`, unused for `s3://`. */
  readonly signingSecret?: string;
  /** Put before a directory store's signed paths; without it they are relative to this service. */
  readonly baseUrl?: string;
  /** A connection that is silent this long is closed. */
  readonly idleSeconds?: number;
  /** Longest wait for a connection. */
  readonly connectSeconds?: number;
  /** Deadline of every request that is not a stream: reading a manifest, a head, a deletion, a check. */
  readonly answerSeconds?: number;
}

/** Open `s3://bucket/prefix` or `file:///directory`. No I/O yet: `check()` tells whether it can be reached. */
export function openBlobStore(url: string, options: OpenOptions = {}): BlobStore {
  const { protocol, hostname, pathname } = new URL(url);
  if (protocol === 's3:') {
    return openS3({
      ...options,
      bucket: hostname,
      prefix: decodeURIComponent(pathname).replaceAll(/^\/+|\/+$/g, ''),
    });
  }
  if (protocol === 'file:') {
    const signingSecret = options.signingSecret;
    if (!signingSecret)
      throw new DumperError('CONFIGURATION', 'a directory store needs a key for its signed URLs');
    return openDirectory({ directory: fileURLToPath(url), signingSecret, baseUrl: options.baseUrl ?? '' });
  }
  throw new DumperError('CONFIGURATION', 'a blob store is s3://bucket/prefix or file:///directory');
}
