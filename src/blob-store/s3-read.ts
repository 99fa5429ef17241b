/** Reading objects of S3: a stream that is whole or an error, a head, and small objects with their version. */
import { Readable } from 'node:stream';
import { GetObjectCommand, HeadObjectCommand, type GetObjectCommandOutput } from '@aws-sdk/client-s3';
import { smallObjectBytes, type BlobHead, type ByteRange, type SmallObject } from './blob-store.ts';
import { DumperError } from '../errors.ts';
import { unavailable } from './s3-errors.ts';
import { orNull, type S3Location } from './s3-location.ts';
import { abortReason } from './s3-upload.ts';

export async function read(
  place: S3Location,
  key: string,
  signal: AbortSignal,
  range?: ByteRange,
): Promise<Readable | null> {
  const asked = { ...place.at(key), ...(range ? { Range: `bytes=${range.start}-${range.end}` } : {}) };
  const request = new AbortController();
  const stop = (): void => request.abort(abortReason(signal));
  signal.addEventListener('abort', stop, { once: true });
  if (signal.aborted) stop();
  const late = setTimeout(() => request.abort(), place.answerSeconds * 1000);
  const answer = await orNull(
    place.downloads.send(new GetObjectCommand(asked), { abortSignal: request.signal }),
  ).finally(() => clearTimeout(late));
  if (answer === null) return null;
  const body = answer.Body as Readable;
  const stream = Readable.from(bytesOf(body, answer.ContentLength, place, signal), { objectMode: false });
  stream.once('close', () => {
    signal.removeEventListener('abort', stop);
    body.destroy();
  });
  return stream;
}

/** The body's bytes; a server that stays silent while bytes are waited for, or ends early, is an error. */
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
    throw signal.aborted ? abortReason(signal) : unavailable(error, Bucket);
  } finally {
    clearTimeout(timer);
  }
}

export async function head(place: S3Location, key: string): Promise<BlobHead | null> {
  const answer = await orNull(place.client.send(new HeadObjectCommand(place.at(key)), place.deadline()));
  if (answer === null) return null;
  return {
    bytes: answer.ContentLength ?? 0,
    contentType: answer.ContentType ?? 'application/octet-stream',
    contentDisposition: answer.ContentDisposition ?? 'attachment',
    modifiedAt: answer.LastModified ?? new Date(0),
  };
}

export async function readSmall(place: S3Location, key: string): Promise<SmallObject | null> {
  const answer = await orNull(place.client.send(new GetObjectCommand(place.at(key)), place.deadline()));
  if (answer === null) return null;
  const body = answer.Body as NonNullable<GetObjectCommandOutput['Body']>;
  if ((answer.ContentLength ?? 0) > smallObjectBytes) {
    (body as Readable).destroy();
    throw new DumperError('MANIFEST_INVALID', 'a small object of more than 16 MiB is refused');
  }
  return { body: await body.transformToByteArray(), version: answer.ETag ?? '' };
}
