/**
 * Blobs in an S3 bucket, any endpoint: the store that portals use (promise P23, two equal stores). Everything lives under
 * one prefix, and nothing outside it is read, listed or deleted.
 *
 * A download is complete or an error (promise P1, no truncated blob). A manifest is switched by compare-and-swap:
 * conditional writes work on Amazon, MinIO and versitygw; a store that refuses them is compared first and then written.
 */
import { randomUUID } from 'node:crypto';
import { Readable } from 'node:stream';
import {
  AbortMultipartUploadCommand,
  DeleteObjectsCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  type GetObjectCommandOutput,
  type ListMultipartUploadsCommandOutput,
  type PutObjectCommandInput,
} from '@aws-sdk/client-s3';
import { getSignedUrl } from '@aws-sdk/s3-request-presigner';
import { withTimeout } from '../async/timeout.ts';
import type { Environment } from '../config/config.ts';
import {
  checkedKey,
  requireSmall,
  transferAborted,
  type BlobHead,
  type BlobListing,
  type BlobStore,
  type ByteRange,
  type SignOptions,
  type SmallObject,
} from './blob-store.ts';
import { createS3Clients, type S3Clients } from './s3-client.ts';
import {
  isAbsent,
  isLostCondition,
  isNotImplemented,
  mapS3Errors,
  nullIfAbsent,
  readSdkError,
  s3Error,
} from './s3-errors.ts';
import { createPartBuffers, uploadStream } from './s3-upload.ts';

interface S3StoreOptions {
  readonly bucket: string;
  /** Without slashes at its ends; may be empty. */
  readonly prefix: string;
  readonly environment?: Environment;
  readonly idleSeconds?: number;
  readonly connectSeconds?: number;
  readonly answerSeconds?: number;
}

/** One bucket and prefix with its clients; every request begins here. */
interface S3Location extends S3Clients {
  readonly Bucket: string;
  /** Empty, or ends in a slash. */
  readonly prefix: string;
  readonly idleSeconds: number;
  readonly answerSeconds: number;
  at(key: string): { Bucket: string; Key: string };
  deadline(): { abortSignal: AbortSignal };
}

export function openS3(options: S3StoreOptions): BlobStore {
  const { bucket: Bucket, idleSeconds = 60, connectSeconds = 5, answerSeconds = 15 } = options;
  const root = options.prefix === '' ? '' : `${options.prefix}/`;
  const location: S3Location = {
    ...createS3Clients({ environment: options.environment ?? {}, idleSeconds, connectSeconds }),
    Bucket,
    prefix: root,
    idleSeconds,
    answerSeconds,
    at: (key) => ({ Bucket, Key: root + checkedKey(key) }),
    deadline: () => ({ abortSignal: AbortSignal.timeout(answerSeconds * 1000) }),
  };
  const buffers = createPartBuffers();
  return {
    kind: 's3',
    put: async (key, source, putOptions) =>
      uploadStream({ client: location.client, buffers }, location.at(key), source, putOptions),
    read: (key, signal, range) => mapS3Errors(Bucket, () => read(location, key, signal, range)),
    head: (key) => mapS3Errors(Bucket, () => head(location, key)),
    readSmall: (key) => mapS3Errors(Bucket, () => readSmall(location, key)),
    replaceSmall: (key, body, contentType, expected) =>
      mapS3Errors(Bucket, () => replaceSmall(location, key, body, contentType, expected)),
    list: (prefix) => list(location, prefix),
    delete: (keys) => mapS3Errors(Bucket, () => deleteAll(location, keys)),
    abortUnfinished: (before) => mapS3Errors(Bucket, () => abortUnfinished(location, before)),
    signedUrl: (key, signOptions) => mapS3Errors(Bucket, () => signedUrl(location, key, signOptions)),
    check: () => mapS3Errors(Bucket, () => check(location)),
    close: async () => {
      location.client.destroy();
      location.downloads.destroy();
    },
  };
}

async function read(
  location: S3Location,
  key: string,
  signal: AbortSignal,
  range?: ByteRange,
): Promise<Readable | null> {
  const input = { ...location.at(key), ...(range ? { Range: `bytes=${range.start}-${range.end}` } : {}) };
  const request = new AbortController();
  const stop = (): void => request.abort(transferAborted(signal));
  signal.addEventListener('abort', stop, { once: true });
  if (signal.aborted) stop();
  // The deadline counts until the answer begins; then `bytesOf` watches the body.
  const sending = location.downloads.send(new GetObjectCommand(input), { abortSignal: request.signal });
  const onTimeout = (): Error => {
    request.abort();
    return new DOMException('no answer in time', 'TimeoutError');
  };
  const answer = await nullIfAbsent(
    withTimeout(sending, { milliseconds: location.answerSeconds * 1000, onTimeout }),
  );
  if (answer === null) return null;
  const body = answer.Body as Readable;
  const stream = Readable.from(bytesOf(body, answer.ContentLength, location, signal), { objectMode: false });
  stream.once('close', () => {
    signal.removeEventListener('abort', stop);
    body.destroy();
  });
  return stream;
}

/** The body's bytes. A server that is silent while we wait for bytes, or that ends early, is an error. */
async function* bytesOf(
  body: Readable,
  expected: number | undefined,
  { Bucket, idleSeconds }: S3Location,
  signal: AbortSignal,
): AsyncGenerator<Buffer> {
  const silent = (): void => void body.destroy(new Error(`no byte for ${idleSeconds} s`));
  let received = 0;
  let timer = setTimeout(silent, idleSeconds * 1000);
  try {
    for await (const chunk of body as AsyncIterable<Buffer>) {
      clearTimeout(timer);
      received += chunk.length;
      yield chunk;
      timer = setTimeout(silent, idleSeconds * 1000);
    }
    if (expected !== undefined && received !== expected) throw new Error('a download ended early');
  } catch (error) {
    throw signal.aborted ? transferAborted(signal) : s3Error(error, Bucket);
  } finally {
    clearTimeout(timer);
  }
}

async function head(location: S3Location, key: string): Promise<BlobHead | null> {
  const answer = await nullIfAbsent(
    location.client.send(new HeadObjectCommand(location.at(key)), location.deadline()),
  );
  if (answer === null) return null;
  return {
    bytes: answer.ContentLength ?? 0,
    contentType: answer.ContentType ?? 'application/octet-stream',
    contentDisposition: answer.ContentDisposition ?? 'attachment',
    modifiedAt: answer.LastModified ?? new Date(0),
  };
}

async function readSmall(location: S3Location, key: string): Promise<SmallObject | null> {
  const answer = await nullIfAbsent(
    location.client.send(new GetObjectCommand(location.at(key)), location.deadline()),
  );
  if (answer === null) return null;
  const body = answer.Body as NonNullable<GetObjectCommandOutput['Body']>;
  try {
    requireSmall(answer.ContentLength ?? 0);
  } catch (error) {
    (body as Readable).destroy();
    throw error;
  }
  return { body: await body.transformToByteArray(), version: answer.ETag ?? '' };
}

async function replaceSmall(
  location: S3Location,
  key: string,
  body: Uint8Array,
  contentType: string,
  expected: string | null,
): Promise<'switched' | 'conflict'> {
  const put = {
    ...location.at(key),
    Body: body,
    ContentType: contentType,
    CacheControl: 'no-cache',
  };
  const condition = expected === null ? { IfNoneMatch: '*' } : { IfMatch: expected };
  try {
    await location.client.send(new PutObjectCommand({ ...put, ...condition }), location.deadline());
    return 'switched';
  } catch (error) {
    if (isNotImplemented(error)) return replaceUnconditionally(location, key, put, expected);
    if (!isLostCondition(error) && !isAbsent(error)) throw error;
    const { name, attempts } = readSdkError(error);
    // The first attempt may have won and only its answer been lost: then the object there is ours.
    if (attempts > 1 && (await isStored(location, key, body))) return 'switched';
    // Or it may still be running: nobody knows how it ends.
    if (attempts > 1 && name === 'ConditionalRequestConflict') throw error;
    return 'conflict';
  }
}

/** For stores without conditional writes: compare, then write. The fence in the state database closes the gap between. */
async function replaceUnconditionally(
  location: S3Location,
  key: string,
  put: PutObjectCommandInput,
  expected: string | null,
): Promise<'switched' | 'conflict'> {
  const stored = await nullIfAbsent(
    location.client.send(new HeadObjectCommand(location.at(key)), location.deadline()),
  );
  if ((stored?.ETag ?? null) !== expected) return 'conflict';
  await location.client.send(new PutObjectCommand(put), location.deadline());
  return 'switched';
}

async function isStored(location: S3Location, key: string, body: Uint8Array): Promise<boolean> {
  const stored = await readSmall(location, key);
  return stored !== null && Buffer.compare(stored.body, body) === 0;
}

/** The most keys that one request may delete. */
const deletionsEach = 1000;

async function* list(location: S3Location, under: string): AsyncGenerator<BlobListing> {
  const { Bucket, prefix } = location;
  let ContinuationToken: string | undefined;
  do {
    const input = { Bucket, Prefix: prefix + under, ...(ContinuationToken ? { ContinuationToken } : {}) };
    const page = await mapS3Errors(Bucket, () =>
      location.client.send(new ListObjectsV2Command(input), location.deadline()),
    );
    for (const { Key, Size, LastModified } of page.Contents ?? []) {
      if (Key === undefined || Key.endsWith('/')) continue;
      yield { key: Key.slice(prefix.length), bytes: Size ?? 0, modifiedAt: LastModified ?? new Date(0) };
    }
    ContinuationToken = page.IsTruncated ? page.NextContinuationToken : undefined;
  } while (ContinuationToken !== undefined);
}

async function deleteAll(location: S3Location, keys: readonly string[]): Promise<void> {
  const { Bucket } = location;
  for (let first = 0; first < keys.length; first += deletionsEach) {
    const Objects = keys.slice(first, first + deletionsEach).map((key) => ({ Key: location.at(key).Key }));
    const input = { Bucket, Delete: { Objects, Quiet: true } };
    const answer = await location.client.send(new DeleteObjectsCommand(input), location.deadline());
    const failed = answer.Errors?.find(({ Code }) => Code !== 'NoSuchKey');
    if (failed)
      throw Object.assign(new Error(failed.Message ?? 'a deletion failed'), { name: failed.Code ?? 'Error' });
  }
}

async function abortUnfinished(location: S3Location, before: Date): Promise<number> {
  const { Bucket, prefix } = location;
  let aborted = 0;
  let marker: { KeyMarker?: string; UploadIdMarker?: string } | null = {};
  while (marker !== null) {
    const input = { Bucket, Prefix: prefix, ...marker };
    const page: ListMultipartUploadsCommandOutput = await location.client.send(
      new ListMultipartUploadsCommand(input),
      location.deadline(),
    );
    for (const { Key, UploadId, Initiated } of page.Uploads ?? []) {
      if (!Key?.startsWith(prefix) || !UploadId || !(Initiated && Initiated < before)) continue;
      await nullIfAbsent(
        location.client.send(new AbortMultipartUploadCommand({ Bucket, Key, UploadId }), location.deadline()),
      );
      aborted += 1;
    }
    marker = nextMarker(page);
  }
  return aborted;
}

function nextMarker(
  page: ListMultipartUploadsCommandOutput,
): { KeyMarker?: string; UploadIdMarker?: string } | null {
  const { IsTruncated, NextKeyMarker, NextUploadIdMarker } = page;
  if (!IsTruncated || !NextKeyMarker) return null;
  return { KeyMarker: NextKeyMarker, ...(NextUploadIdMarker ? { UploadIdMarker: NextUploadIdMarker } : {}) };
}

function signedUrl(location: S3Location, key: string, options: SignOptions): Promise<string> {
  const command = new GetObjectCommand({
    ...location.at(key),
    ...(options.cacheControl === undefined ? {} : { ResponseCacheControl: options.cacheControl }),
    ...(options.contentDisposition === undefined
      ? {}
      : { ResponseContentDisposition: options.contentDisposition }),
  });
  return getSignedUrl(location.client, command, { expiresIn: options.lifeSeconds });
}

/** Write, read and delete a probe object: finds a wrong key or a missing right before the first dump does. */
async function check(location: S3Location): Promise<void> {
  const key = `.probe/${randomUUID()}`;
  const at = location.at(key);
  await location.client.send(new PutObjectCommand({ ...at, Body: 'probe' }), location.deadline());
  if ((await readSmall(location, key)) === null) throw new Error('what was written cannot be read');
  await deleteAll(location, [key]);
}
