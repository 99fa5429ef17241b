/**
 * A stream into one object: complete or not there at all (promises P1, P7). What fits into one part is put at once,
 * the rest goes by a multipart upload, which is aborted before a failure is told.
 *
 * The parts are filled in buffers that are used again (promise P14). Each goes with its CRC32, which the server checks;
 * then the signature need not cover a SHA-256 of the bytes, the dearest part of a request (`s3-client.ts`).
 */
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  PutObjectCommand,
  UploadPartCommand,
  type CompletedPart,
  type S3Client,
} from '@aws-sdk/client-s3';
import type { BlobSource, PutOptions } from './blob-store.ts';
import { DumperError } from '../errors.ts';
import type { PartBuffers } from './part-buffers.ts';
import { unavailable } from './s3-errors.ts';

const mebibyte = 1024 * 1024;
const leastPartBytes = 5 * mebibyte;
const mostParts = 10_000;
/** Largest object of S3; a larger guess means no larger parts. */
const mostBytes = 5 * 1024 * 1024 * mebibyte;
/** A guess this many times too small still fits. */
const guessSlack = 5;
/** Beside the one being filled. Two take 30 MiB more of memory and, with six uploads at once, no less time. */
const partsInFlight = 1;
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

interface Way {
  readonly client: S3Client;
  readonly buffers: PartBuffers;
}

/** One upload: where to, and the one signal that ends all its requests. */
interface Upload extends Way {
  readonly target: UploadTarget;
  readonly headers: ReturnType<typeof headersOf>;
  readonly signal: AbortSignal;
}

interface Part {
  readonly number: number;
  readonly buffer: Buffer;
  readonly bytes: number;
  readonly isLast: boolean;
}

export async function uploadStream(
  way: Way,
  target: UploadTarget,
  source: BlobSource,
  options: PutOptions,
): Promise<void> {
  const failed = new AbortController();
  const signal = AbortSignal.any([options.signal, failed.signal]);
  const upload: Upload = { ...way, target, headers: headersOf(options), signal };
  const stop = (): void => void source.destroy(abortReason(signal));
  try {
    if (signal.aborted) throw abortReason(signal);
    signal.addEventListener('abort', stop, { once: true });
    const parts = partsOf(source, partBytesFor(options.expectedBytes), way.buffers);
    const first = (await parts.next()).value as Part;
    if (first.isLast) await putWhole(upload, first);
    else await putParts(upload, first, parts, (error) => failed.abort(error));
  } catch (error) {
    throw whatFailed(error);
  } finally {
    signal.removeEventListener('abort', stop);
    source.destroy();
  }
}

function headersOf(options: PutOptions) {
  return {
    ContentType: options.contentType,
    ContentDisposition: options.contentDisposition,
    CacheControl: options.cacheControl,
    ...(options.metadata ? { Metadata: { ...options.metadata } } : {}),
  };
}

/** The source's bytes in full parts; only the last one may be shorter, or empty where there is nothing at all. */
async function* partsOf(
  source: BlobSource,
  partBytes: number,
  buffers: PartBuffers,
): AsyncGenerator<Part, void> {
  let number = 1;
  let buffer = buffers.take(partBytes);
  let bytes = 0;
  for await (const chunk of source) {
    for (let taken = 0; taken < chunk.length;) {
      if (bytes === partBytes) {
        yield { number, buffer, bytes, isLast: false };
        number += 1;
        buffer = buffers.take(partBytes);
        bytes = 0;
      }
      const piece = chunk.subarray(taken, taken + partBytes - bytes);
      buffer.set(piece, bytes);
      bytes += piece.length;
      taken += piece.length;
    }
  }
  yield { number, buffer, bytes, isLast: true };
}

async function putWhole(upload: Upload, { buffer, bytes }: Part): Promise<void> {
  const { client, target, headers, buffers } = upload;
  const Body = buffer.subarray(0, bytes);
  await asked(upload, (how) => client.send(new PutObjectCommand({ ...target, ...headers, Body }), how));
  buffers.give(buffer);
}

async function putParts(
  upload: Upload,
  first: Part,
  rest: AsyncIterable<Part>,
  giveUp: (error: unknown) => void,
): Promise<void> {
  const { client, target, headers } = upload;
  const checksum = await checksumOf(client);
  const begun = await asked(upload, (how) =>
    client.send(new CreateMultipartUploadCommand({ ...target, ...headers, ...checksum }), how),
  );
  const at = { ...target, UploadId: begun.UploadId };
  const inFlight = new Set<Promise<void>>();
  const done: CompletedPart[] = [];
  const start = (part: Part): void => {
    const sending = putPart(upload, at, part).then((completed) => void done.push(completed));
    // A part that fails ends the others and the source at once.
    const ended = sending.catch(giveUp).finally(() => inFlight.delete(ended));
    inFlight.add(ended);
  };
  try {
    start(first);
    for await (const part of rest) {
      while (inFlight.size >= partsInFlight) await Promise.race(inFlight);
      if (upload.signal.aborted) throw abortReason(upload.signal);
      start(part);
    }
    await Promise.all(inFlight);
    if (upload.signal.aborted) throw abortReason(upload.signal);
    const Parts = done.toSorted((one, other) => (one.PartNumber ?? 0) - (other.PartNumber ?? 0));
    const MultipartUpload = { Parts };
    await asked(upload, (how) =>
      client.send(new CompleteMultipartUploadCommand({ ...at, MultipartUpload }), how),
    );
  } catch (error) {
    giveUp(error);
    await Promise.all(inFlight);
    await client
      .send(new AbortMultipartUploadCommand(at), { abortSignal: AbortSignal.timeout(cleanUpSeconds * 1000) })
      // The store may be gone; the sweep finds what is left.
      .catch(() => undefined);
    throw error;
  }
}

async function putPart(
  upload: Upload,
  at: UploadTarget & { readonly UploadId: string | undefined },
  { number, buffer, bytes }: Part,
): Promise<CompletedPart> {
  const Body = buffer.subarray(0, bytes);
  const sent = { ...at, PartNumber: number, Body, ...(await checksumOf(upload.client)) };
  const { ETag, ChecksumCRC32 } = await asked(upload, (how) =>
    upload.client.send(new UploadPartCommand(sent), how),
  );
  // Not after a failure: a request that was given up may still read it.
  upload.buffers.give(buffer);
  return { PartNumber: number, ETag, ...(ChecksumCRC32 === undefined ? {} : { ChecksumCRC32 }) };
}

/** CRC32 unless the settings say that the store knows no checksums. */
async function checksumOf(client: S3Client): Promise<{ ChecksumAlgorithm?: 'CRC32' }> {
  const rule = await client.config.requestChecksumCalculation();
  return rule === 'WHEN_SUPPORTED' ? { ChecksumAlgorithm: 'CRC32' } : {};
}

/** Run a request of the upload; its failure is the abort's reason or the catalogue's error. */
async function asked<Answer>(
  { target, signal }: Upload,
  request: (how: { abortSignal: AbortSignal }) => Promise<Answer>,
): Promise<Answer> {
  try {
    return await request({ abortSignal: signal });
  } catch (error) {
    throw signal.aborted ? abortReason(signal) : unavailable(error, target.Bucket);
  }
}

function whatFailed(error: unknown): unknown {
  const { code } = error as { code?: unknown };
  if (code !== 'ERR_STREAM_PREMATURE_CLOSE') return error;
  return new DumperError('COPY_BROKEN', 'the source of an upload ended before its last byte', {
    cause: error,
  });
}

export function abortReason(signal: AbortSignal): Error {
  const reason: unknown = signal.reason;
  if (reason instanceof DumperError) return reason;
  return new DumperError('ABORTED', 'the upload was broken off', { cause: reason });
}
