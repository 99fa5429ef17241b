/**
 * How blobs end. Superseded blobs are deleted when every URL that was given out for them has expired (P6, a redirect stays
 * valid), those of an unpublished table at once, those that a crash left behind after the next publication of the table
 * (P7, nothing orphaned stays). Keys of another shape than the layout's own are never touched.
 *
 * Orphaned blobs are listed while the table's fence is held, and deleted under it: then no other publication of the table
 * is under way, or was since, whose blobs could be mistaken for orphaned ones.
 */
import type { BlobStore } from '../blob-store/blob-store.ts';
import type { ResourceId } from '../postgres/table.ts';
import type { PublishFence } from '../state/fence.ts';
import {
  isRetained,
  isUnderPublicPrefix,
  manifestKey,
  parseBlobKey,
  publicPrefix,
  readPublished,
  type FencedManifest,
  type Manifest,
  type RetentionOptions,
} from '../manifest.ts';

/**
 * Those of a table's blobs that its manifest does not keep: neither its own nor of a retained revision. Where anonymous
 * users may not read the table, nothing of it stays where a CDN could reach it, whatever URLs were given out (P10, a table
 * made private is not served).
 */
export function orphanedKeys(
  manifest: Manifest,
  keys: readonly string[],
  options: RetentionOptions,
): string[] {
  const retained = manifest.superseded.filter((entry) => isRetained(entry, options));
  const kept = new Set([manifest.revision, ...retained.map(({ revision }) => revision)]);
  return keys.filter((key) => {
    const parts = parseBlobKey(key);
    if (parts === null || parts.id !== manifest.resource_id) return false;
    return !kept.has(parts.revision) || (parts.underPublicPrefix && !manifest.public);
  });
}

/**
 * Delete a table's orphaned blobs; returns their number. A worker that was paused and superseded since deletes nothing:
 * what it takes for orphaned may be published now.
 */
export async function pruneSuperseded(
  store: BlobStore,
  fence: PublishFence,
  { manifest, generation }: FencedManifest,
  options: RetentionOptions,
): Promise<number> {
  const id = manifest.resource_id;
  const keys = await blobKeysOf(store, id);
  if (orphanedKeys(manifest, keys, options).length === 0) return 0;
  const outcome = await fence.switchUnder(id, generation, async () => {
    // Another worker may have published between our reading of the manifest and our taking of the fence.
    const current = (await readPublished(store, id))?.manifest ?? null;
    const orphaned = current === null ? [] : orphanedKeys(current, keys, options);
    await store.delete(orphaned);
    return orphaned.length;
  });
  return outcome.kind === 'done' ? outcome.value : 0;
}

async function blobKeysOf(store: BlobStore, id: ResourceId): Promise<string[]> {
  const keys = [`${id}/`, `${publicPrefix}${id}/`].map((prefix) => blobKeysUnder(store, prefix, id));
  return (await Promise.all(keys)).flat();
}

async function blobKeysUnder(store: BlobStore, prefix: string, id: ResourceId): Promise<string[]> {
  const listing = await Array.fromAsync(store.list(prefix));
  return listing.map(({ key }) => key).filter((key) => parseBlobKey(key)?.id === id);
}

/**
 * Remove what is published of a table that is gone, deleted or no longer to be given: its manifest first, so that no
 * answer names its blobs, then the blobs. False when another worker took the table over; nothing was deleted then.
 */
export async function unpublish(store: BlobStore, fence: PublishFence, id: ResourceId): Promise<boolean> {
  const current = await readPublished(store, id);
  const generation = await fence.take(id, current?.manifest?.generation ?? 0);
  const blobs = await blobKeysOf(store, id);
  const outcome = await fence.switchUnder(id, generation, async () => {
    await store.delete([manifestKey(id)]);
    await store.delete(blobs);
  });
  return outcome.kind === 'done';
}

/**
 * Delete what a CDN could reach of a table that anonymous users may not read any more, at once, whatever URLs were given
 * out (P10, a table made private is not served); returns the number of blobs.
 *
 * The manifest goes first, so that no answer names those blobs. No fence is needed: a publication that is under way finds
 * its manifest gone and asks for the visibility again, and every answer meanwhile is live.
 */
export async function removePublicBlobs(store: BlobStore, id: ResourceId): Promise<number> {
  const manifest = (await readPublished(store, id))?.manifest ?? null;
  if (manifest !== null && isUnderPublicPrefix(manifest)) await store.delete([manifestKey(id)]);
  const keys = await blobKeysUnder(store, `${publicPrefix}${id}/`, id);
  await store.delete(keys);
  return keys.length;
}
