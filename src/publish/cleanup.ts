/**
 * The end of blobs: superseded ones go when every URL handed out for them has ended, those of a withdrawn table at
 * once, and what a crash left behind as soon as the table is looked at again (promises P6 and P7). Keys of any other
 * shape than the layout's own are never touched.
 *
 * What is to go is listed while holding the table's fence and deleted under it: then no publication of the table is under
 * way, nor was one since, whose blobs could be taken for litter.
 */
import type { BlobStore } from '../blob-store/blob-store.ts';
import type { ResourceId } from '../postgres/table.ts';
import { manifestKey, parseBlobKey, publicPrefix, readPublished, type Manifest } from '../manifest.ts';
import type { PublishFence, FencedManifest } from './publish.ts';

/** What the manifest keeps alive: its own blobs, and those of revisions whose URLs may still be used. */
function livingRevisions(manifest: Manifest, now: Date, retireSeconds: number): ReadonlySet<string> {
  const alive = manifest.superseded.filter(
    (entry) => Date.parse(entry.at) + retireSeconds * 1000 > now.getTime(),
  );
  return new Set([manifest.revision, ...alive.map((entry) => entry.revision)]);
}

export interface PruneOptions {
  readonly now: Date;
  /** How long a superseded revision's URLs may still be used. */
  readonly retireSeconds: number;
}

/**
 * Those of a table's blobs that nothing refers to any more. Where anonymous users may not read the table (any more),
 * nothing of it stays where a CDN could reach it, whatever URLs were handed out (promise P10).
 */
export function orphanedKeys(manifest: Manifest, keys: readonly string[], options: PruneOptions): string[] {
  const living = livingRevisions(manifest, options.now, options.retireSeconds);
  return keys.filter((key) => {
    const place = parseBlobKey(key);
    if (place === null || place.id !== manifest.resource_id) return false;
    return !living.has(place.revision) || (place.underPublicPrefix && !manifest.public);
  });
}

/**
 * Delete a table's dead blobs; returns how many went. Whoever was paused since, and superseded, deletes nothing: what it
 * takes for dead may be what is published now.
 */
export async function pruneSuperseded(
  store: BlobStore,
  fence: PublishFence,
  { manifest, generation }: FencedManifest,
  options: PruneOptions,
): Promise<number> {
  const id = manifest.resource_id as ResourceId;
  const keys = await blobKeysOf(store, id);
  if (orphanedKeys(manifest, keys, options).length === 0) return 0;
  const outcome = await fence.switchUnder(id, generation, async () => {
    // Another may have published between our first look and our taking of the fence.
    const current = (await readPublished(store, id))?.manifest ?? null;
    const dead = current === null ? [] : orphanedKeys(current, keys, options);
    await store.delete(dead);
    return dead.length;
  });
  return outcome.kind === 'done' ? outcome.value : 0;
}

async function blobKeysOf(store: BlobStore, id: string): Promise<string[]> {
  const places = [`${id}/`, `${publicPrefix}${id}/`];
  const listings = await Promise.all(places.map((prefix) => Array.fromAsync(store.list(prefix))));
  return listings
    .flat()
    .map(({ key }) => key)
    .filter((key) => parseBlobKey(key)?.id === id);
}

/**
 * A table that is gone, deleted or no longer to be given: its manifest goes first, so that no answer names its
 * blobs, then the blobs. False when another worker took the table over meanwhile; nothing was deleted then.
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
