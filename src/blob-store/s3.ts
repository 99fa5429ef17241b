/**
 * Blobs in an S3 bucket, any endpoint: the store that portals use (promise P23). Everything lives under one prefix,
 * and nothing outside it is read, listed or deleted.
 */
import { randomUUID } from 'node:crypto';
import { GetObjectCommand, PutObjectCommand } from '@aws-sdk/client-s3';
import { getSignedUrl } from '@aws-sdk/s3-request-presigner';
import type { BlobStore, SignOptions } from './blob-store.ts';
import { checkedKey } from './key.ts';
import { createPartBuffers } from './part-buffers.ts';
import { createS3Clients } from './s3-client.ts';
import { mapS3Errors, type S3Location } from './s3-location.ts';
import { head, read, readSmall } from './s3-read.ts';
import { replaceSmall } from './s3-replace.ts';
import { abortUnfinished, deleteAll, list } from './s3-sweep.ts';
import { uploadStream } from './s3-upload.ts';

export interface S3StoreOptions {
  readonly bucket: string;
  /** Without slashes at its ends; may be empty. */
  readonly prefix: string;
  readonly environment?: Readonly<Record<string, string | undefined>>;
  readonly idleSeconds?: number;
  readonly connectSeconds?: number;
  readonly answerSeconds?: number;
}

export function openS3(options: S3StoreOptions): BlobStore {
  const { bucket: Bucket, idleSeconds = 60, connectSeconds = 5, answerSeconds = 15 } = options;
  const prefix = options.prefix === '' ? '' : `${options.prefix}/`;
  const place: S3Location = {
    ...createS3Clients({ environment: options.environment ?? {}, idleSeconds, connectSeconds }),
    Bucket,
    prefix,
    idleSeconds,
    answerSeconds,
    at: (key) => ({ Bucket, Key: prefix + checkedKey(key) }),
    deadline: () => ({ abortSignal: AbortSignal.timeout(answerSeconds * 1000) }),
  };
  const buffers = createPartBuffers();
  return {
    kind: 's3',
    put: async (key, source, asked) =>
      uploadStream({ client: place.client, buffers }, place.at(key), source, asked),
    read: (key, signal, range) => mapS3Errors(Bucket, () => read(place, key, signal, range)),
    head: (key) => mapS3Errors(Bucket, () => head(place, key)),
    readSmall: (key) => mapS3Errors(Bucket, () => readSmall(place, key)),
    replaceSmall: (key, body, contentType, expected) =>
      mapS3Errors(Bucket, () => replaceSmall(place, key, body, contentType, expected)),
    list: (under) => list(place, under),
    delete: (keys) => mapS3Errors(Bucket, () => deleteAll(place, keys)),
    abortUnfinished: (before) => mapS3Errors(Bucket, () => abortUnfinished(place, before)),
    signedUrl: (key, asked) => mapS3Errors(Bucket, () => signedUrl(place, key, asked)),
    check: () => mapS3Errors(Bucket, () => check(place)),
    close: async () => {
      place.client.destroy();
      place.downloads.destroy();
    },
  };
}

function signedUrl(place: S3Location, key: string, asked: SignOptions): Promise<string> {
  const command = new GetObjectCommand({
    ...place.at(key),
    ...(asked.cacheControl === undefined ? {} : { ResponseCacheControl: asked.cacheControl }),
    ...(asked.contentDisposition === undefined
      ? {}
      : { ResponseContentDisposition: asked.contentDisposition }),
  });
  return getSignedUrl(place.client, command, { expiresIn: asked.lifeSeconds });
}

/** Write, read and delete an object of its own: tells a wrong key or a missing right before the first dump does. */
async function check(place: S3Location): Promise<void> {
  const key = `.probe/${randomUUID()}`;
  const at = place.at(key);
  await place.client.send(new PutObjectCommand({ ...at, Body: 'probe' }), place.deadline());
  if ((await readSmall(place, key)) === null) throw new Error('what was written cannot be read');
  await deleteAll(place, [key]);
}
