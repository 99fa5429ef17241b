/**
 * A stream into one object by a multipart upload: complete or not there at all (promises P1, P7).
 *
 * Facts of the SDK (lib-storage 3.1169): a failing source rejects `done()` only after the upload was aborted; its own
 * `abort()` waits for the source's next part, so an abort here destroys the source and the requests in flight.
 */
import type { Readable } from 'node:stream';
import { AbortMultipartUploadCommand, type S3Client } from '@aws-sdk/client-s3';
import { Upload } from '@aws-sdk/lib-storage';
import type { PutOptions } from '../blob-store.ts';
import { DumperError } from '../errors.ts';
import { unavailable } from './s3-fault.ts';

const mebibyte = 1024 * 1024;
const leastPartBytes = 5 * mebibyte;
const mostParts = 10_000;
/** Largest object of S3; a larger guess means no larger parts. */
const mostBytes = 5 * 1024 * 1024 * mebibyte;
/** A guess this many times too small still fits. */
const guessSlack = 5;
/** Parts in flight: with the one being filled, six uploads hold 6 x 3 x 5 MiB. */
const partsInFlight = 2;
const cleanUpSeconds = 10;

/** Bytes of each part but the last, so that 10,000 parts suffice although the guess is up to 5 times too small. */
export function partBytesFor(expectedBytes: number): number {
  const most = Math.min(expectedBytes * guessSlack, mostBytes);
  return Math.max(leastPartBytes, Math.ceil(most / mostParts / mebibyte) * mebibyte);
}

export interface UploadTarget {
  readonly Bucket: string;
  readonly Key: string;
}

export async function uploadStream(
  client: S3Client,
  target: UploadTarget,
  source: Readable,
  options: PutOptions,
): Promise<void> {
  const { signal } = options;
  const stop = (): void => void source.destroy(abortReason(signal));
  signal.addEventListener('abort', stop, { once: true });
  if (signal.aborted) stop();
  try {
    const upload = new Upload({
      client: abortable(client, signal),
      partSize: partBytesFor(options.expectedBytes),
      queueSize: partsInFlight,
      params: {
        ...target,
        Body: source,
        ContentType: options.contentType,
        ContentDisposition: options.contentDisposition,
        CacheControl: options.cacheControl,
        ...(options.metadata ? { Metadata: { ...options.metadata } } : {}),
      },
    });
    await upload.done();
  } catch (error) {
    throw whatFailed(error, source, signal, target.Bucket);
  } finally {
    signal.removeEventListener('abort', stop);
    source.destroy();
  }
}

/** The source's own error and the caller's abort come first: the store did nothing wrong then. */
function whatFailed(error: unknown, source: Readable, signal: AbortSignal, bucket: string): unknown {
  // a source that the upload itself let go of, after a failure of the store, says ABORT_ERR
  const { errored } = source;
  if (errored && (errored === error || codeOf(errored) !== 'ABORT_ERR')) return errored;
  if (signal.aborted) return abortReason(signal);
  if (codeOf(error) === 'ERR_STREAM_PREMATURE_CLOSE') {
    return new DumperError('COPY_BROKEN', 'the source of an upload ended before its last byte', {
      cause: error,
    });
  }
  return unavailable(error, bucket);
}

function codeOf(error: unknown): unknown {
  return (error as { code?: unknown }).code;
}

export function abortReason(signal: AbortSignal): Error {
  const reason: unknown = signal.reason;
  if (reason instanceof DumperError) return reason;
  return new DumperError('ABORTED', 'the upload was broken off', { cause: reason });
}

/** The client with `signal` on each request, except for the one that cleans up: that one has a deadline instead. */
function abortable(client: S3Client, signal: AbortSignal): S3Client {
  const send = (command: Parameters<S3Client['send']>[0]): Promise<unknown> =>
    client.send(command, {
      abortSignal:
        command instanceof AbortMultipartUploadCommand ? AbortSignal.timeout(cleanUpSeconds * 1000) : signal,
    });
  return Object.assign(Object.create(client) as S3Client, { send });
}
