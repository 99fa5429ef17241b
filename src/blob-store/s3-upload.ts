/**
 * A stream into one S3 object: complete or not there at all (promises P1 and P7: no truncated blob, no leftovers). What
 * fits into one part is put at once. The rest goes by a multipart upload, which is aborted before a failure is reported.
 *
 * The parts are filled in buffers that are reused (promise P14, flat memory). Each part has its CRC32, which the server
 * checks; then the signature need not cover a SHA-256 of the bytes, the most expensive part of a request (`s3-client.ts`).
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
import { sourceError, transferAborted, type BlobSource, type PutOptions } from './blob-store.ts';
import { s3Error } from './s3-errors.ts';

const mebibyte = 1024 * 1024;
const leastPartBytes = 5 * mebibyte;
const mostParts = 10_000;
/** Largest object of S3; a larger guess does not make larger parts. */
const mostBytes = 5 * 1024 * 1024 * mebibyte;
/** A guess this many times too small still fits. */
const guessSlack = 5;
/** Besides the one being filled. Two take 30 MiB more memory and, with six uploads at once, save no time. */
const partsInFlight = 1;
const cleanUpSeconds = 10;
/** At most this much memory is kept for later uploads: the parts of one publication of six blobs. */
const mostIdleBytes = 64 * 1024 * 1024;

interface PartBuffers {
  /** A buffer of exactly this length; its content is whatever was there. */
  take(bytes: number): Buffer;
  /** Give a buffer back that nobody reads any more. */
  give(buffer: Buffer): void;
}

/** Memory for parts, reused: garbage of 5 MiB each would pile up faster than it is collected. */
export function createPartBuffers(): PartBuffers {
  let idle: Buffer[] = [];
  return {
    take: (bytes) => {
      const fitting = idle.find((buffer) => buffer.length === bytes);
      if (fitting === undefined) return Buffer.allocUnsafeSlow(bytes);
      idle = idle.filter((buffer) => buffer !== fitting);
      return fitting;
    },
    give: (buffer) => {
      const idleBytes = idle.reduce((sum, { length }) => sum + length, buffer.length);
      if (idleBytes <= mostIdleBytes) idle.push(buffer);
    },
  };
}

/** Bytes of each part but the last, so that 10,000 parts suffice although the guess is up to 5 times too small. */
export function partBytesFor(expectedBytes: number): number {
  const most = Math.min(expectedBytes * guessSlack, mostBytes);
  return Math.max(leastPartBytes, Math.ceil(most / mostParts / mebibyte) * mebibyte);
}

interface UploadTarget {
  readonly Bucket: string;
  readonly Key: string;
}

interface UploadDeps {
  readonly client: S3Client;
  readonly buffers: PartBuffers;
}

/** One upload: its target, and the one signal that ends all its requests. */
interface Upload extends UploadDeps {
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
  deps: UploadDeps,
  target: UploadTarget,
  source: BlobSource,
  options: PutOptions,
): Promise<void> {
  const failed = new AbortController();
  const signal = AbortSignal.any([options.signal, failed.signal]);
  const upload: Upload = { ...deps, target, headers: headersOf(options), signal };
  const stop = (): void => void source.destroy(transferAborted(signal));
  try {
    if (signal.aborted) throw transferAborted(signal);
    signal.addEventListener('abort', stop, { once: true });
    const parts = partsOf(source, partBytesFor(options.expectedBytes), deps.buffers);
    const first = (await parts.next()).value as Part;
    if (first.isLast) await putWhole(upload, first);
    else await putParts(upload, first, parts, (error) => failed.abort(error));
  } catch (error) {
    throw sourceError(error);
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
  await send(upload, (options) =>
    client.send(new PutObjectCommand({ ...target, ...headers, Body }), options),
  );
  buffers.give(buffer);
}

async function putParts(
  upload: Upload,
  first: Part,
  rest: AsyncIterable<Part>,
  onFailure: (error: unknown) => void,
): Promise<void> {
  const { client, target, headers } = upload;
  const checksum = await checksumOf(client);
  const begun = await send(upload, (options) =>
    client.send(new CreateMultipartUploadCommand({ ...target, ...headers, ...checksum }), options),
  );
  const at = { ...target, UploadId: begun.UploadId };
  const inFlight = new Set<Promise<void>>();
  const done: CompletedPart[] = [];
  const start = (part: Part): void => {
    const sending = putPart(upload, at, part).then((completed) => void done.push(completed));
    // A part that fails ends the others and the source at once.
    const settled = sending.catch(onFailure).finally(() => inFlight.delete(settled));
    inFlight.add(settled);
  };
  try {
    start(first);
    for await (const part of rest) {
      while (inFlight.size >= partsInFlight) await Promise.race(inFlight);
      if (upload.signal.aborted) throw transferAborted(upload.signal);
      start(part);
    }
    await Promise.all(inFlight);
    if (upload.signal.aborted) throw transferAborted(upload.signal);
    const Parts = done.toSorted((one, other) => (one.PartNumber ?? 0) - (other.PartNumber ?? 0));
    const MultipartUpload = { Parts };
    await send(upload, (options) =>
      client.send(new CompleteMultipartUploadCommand({ ...at, MultipartUpload }), options),
    );
  } catch (error) {
    onFailure(error);
    await Promise.all(inFlight);
    await client
      .send(new AbortMultipartUploadCommand(at), { abortSignal: AbortSignal.timeout(cleanUpSeconds * 1000) })
      // The store may be down; the sweep finds what is left.
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
  const { ETag, ChecksumCRC32 } = await send(upload, (options) =>
    upload.client.send(new UploadPartCommand(sent), options),
  );
  // Not after a failure: an aborted request may still read it.
  upload.buffers.give(buffer);
  return { PartNumber: number, ETag, ...(ChecksumCRC32 === undefined ? {} : { ChecksumCRC32 }) };
}

/** CRC32 unless the settings say that the store knows no checksums. */
async function checksumOf(client: S3Client): Promise<{ ChecksumAlgorithm?: 'CRC32' }> {
  const rule = await client.config.requestChecksumCalculation();
  return rule === 'WHEN_SUPPORTED' ? { ChecksumAlgorithm: 'CRC32' } : {};
}

/** Run a request of the upload; its failure is the abort's reason or the catalogue's error. */
async function send<Answer>(
  { target, signal }: Upload,
  request: (options: { abortSignal: AbortSignal }) => Promise<Answer>,
): Promise<Answer> {
  try {
    return await request({ abortSignal: signal });
  } catch (error) {
    throw signal.aborted ? transferAborted(signal) : s3Error(error, target.Bucket);
  }
}
