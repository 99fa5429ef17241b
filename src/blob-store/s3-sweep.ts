/** Listing and clearing away in S3, page by page, and never outside the store's own prefix (promise P7). */
import {
  AbortMultipartUploadCommand,
  DeleteObjectsCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  type ListMultipartUploadsCommandOutput,
} from '@aws-sdk/client-s3';
import type { BlobListing } from './blob-store.ts';
import { orNull, mapS3Errors, type S3Location } from './s3-location.ts';

/** The most keys that one request may delete. */
const deletionsEach = 1000;

export async function* list(place: S3Location, under: string): AsyncGenerator<BlobListing> {
  const { Bucket, prefix } = place;
  let ContinuationToken: string | undefined;
  do {
    const asked = { Bucket, Prefix: prefix + under, ...(ContinuationToken ? { ContinuationToken } : {}) };
    const page = await mapS3Errors(Bucket, () =>
      place.client.send(new ListObjectsV2Command(asked), place.deadline()),
    );
    for (const { Key, Size, LastModified } of page.Contents ?? []) {
      if (Key === undefined || Key.endsWith('/')) continue;
      yield { key: Key.slice(prefix.length), bytes: Size ?? 0, modifiedAt: LastModified ?? new Date(0) };
    }
    ContinuationToken = page.IsTruncated ? page.NextContinuationToken : undefined;
  } while (ContinuationToken !== undefined);
}

export async function deleteAll(place: S3Location, keys: readonly string[]): Promise<void> {
  const { Bucket } = place;
  for (let first = 0; first < keys.length; first += deletionsEach) {
    const Objects = keys.slice(first, first + deletionsEach).map((key) => ({ Key: place.at(key).Key }));
    const asked = { Bucket, Delete: { Objects, Quiet: true } };
    const answer = await place.client.send(new DeleteObjectsCommand(asked), place.deadline());
    const failed = answer.Errors?.find(({ Code }) => Code !== 'NoSuchKey');
    if (failed)
      throw Object.assign(new Error(failed.Message ?? 'a deletion failed'), { name: failed.Code ?? 'Error' });
  }
}

export async function abortUnfinished(place: S3Location, before: Date): Promise<number> {
  const { Bucket, prefix } = place;
  let aborted = 0;
  let marker: { KeyMarker?: string; UploadIdMarker?: string } | null = {};
  while (marker !== null) {
    const asked = { Bucket, Prefix: prefix, ...marker };
    const page: ListMultipartUploadsCommandOutput = await place.client.send(
      new ListMultipartUploadsCommand(asked),
      place.deadline(),
    );
    for (const { Key, UploadId, Initiated } of page.Uploads ?? []) {
      if (!Key?.startsWith(prefix) || !UploadId || !(Initiated && Initiated < before)) continue;
      await orNull(
        place.client.send(new AbortMultipartUploadCommand({ Bucket, Key, UploadId }), place.deadline()),
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
