/**
 * Compare-and-swap of a small object: how a manifest is switched. Conditional writes hold on Amazon, MinIO and
 * versitygw; a store that refuses them is compared first and then written (see the port).
 */
import { HeadObjectCommand, PutObjectCommand, type PutObjectCommandInput } from '@aws-sdk/client-s3';
import { toStoreError, isAbsent, isLostCondition, isNotImplemented } from './s3-errors.ts';
import { orNull, type S3Location } from './s3-location.ts';
import { readSmall } from './s3-read.ts';

type Replacement = 'switched' | 'conflict';

export async function replaceSmall(
  place: S3Location,
  key: string,
  body: Uint8Array,
  contentType: string,
  expected: string | null,
): Promise<Replacement> {
  const put = {
    ...place.at(key),
    Body: body,
    ContentType: contentType,
    CacheControl: 'no-cache',
  };
  const condition = expected === null ? { IfNoneMatch: '*' } : { IfMatch: expected };
  try {
    await place.client.send(new PutObjectCommand({ ...put, ...condition }), place.deadline());
    return 'switched';
  } catch (error) {
    if (isNotImplemented(error)) return replaceUnconditionally(place, key, put, expected);
    if (!isLostCondition(error) && !isAbsent(error)) throw error;
    const { name, attempts } = toStoreError(error);
    // the first attempt may have won and only its answer been lost: then ours is what is there
    if (attempts > 1 && (await holds(place, key, body))) return 'switched';
    // or it may be under way still: nobody knows how it ends
    if (attempts > 1 && name === 'ConditionalRequestConflict') throw error;
    return 'conflict';
  }
}

/** For stores without conditional writes: compare, then write. The fence in the state database closes the gap. */
async function replaceUnconditionally(
  place: S3Location,
  key: string,
  put: PutObjectCommandInput,
  expected: string | null,
): Promise<Replacement> {
  const there = await orNull(place.client.send(new HeadObjectCommand(place.at(key)), place.deadline()));
  if ((there?.ETag ?? null) !== expected) return 'conflict';
  await place.client.send(new PutObjectCommand(put), place.deadline());
  return 'switched';
}

async function holds(place: S3Location, key: string, body: Uint8Array): Promise<boolean> {
  const there = await readSmall(place, key);
  return there !== null && Buffer.compare(there.body, body) === 0;
}
