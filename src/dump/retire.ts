/**
 * The end of blobs: superseded ones go when every URL handed out for them has ended, those of a withdrawn table at
 * once, and what a crash left behind as soon as the table is looked at again (promises P6 and P7).
 *
 * Call these only while holding the table's fence: then no publication of the table is under way whose blobs could
 * be taken for litter.
 */
import type { BlobListing, BlobStore } from '../blob-store.ts';
import type { ResourceId } from '../table.ts';
import { manifestKey, publicPrefix, readPublished, type Manifest } from './manifest.ts';
import type { Fence } from './publish.ts';

/** What the manifest keeps alive: its own blobs, and those of revisions whose URLs may still be used. */
function livingRevisions(manifest: Manifest, now: Date, retireSeconds: number): ReadonlySet<string> {
  const alive = manifest.superseded.filter(
    (entry) => Date.parse(entry.at) + retireSeconds * 1000 > now.getTime(),
  );
  return new Set([manifest.revision, ...alive.map((entry) => entry.revision)]);
}

/** The revision part of a blob's key, `[public/]<id>/<revision>/…`; null for the manifest. */
export function revisionOfKey(key: string): string | null {
  const parts = (key.startsWith(publicPrefix) ? key.slice(publicPrefix.length) : key).split('/');
  return parts.length > 2 ? (parts[1] ?? null) : null;
}

/**
 * Delete what nothing refers to any more; returns how many blobs went. Where anonymous users may not read the table
 * (any more), nothing of it stays where a CDN could reach it, whatever URLs were handed out (promise P10).
 */
export async function retire(
  store: BlobStore,
  manifest: Manifest,
  options: { readonly now: Date; readonly retireSeconds: number },
): Promise<number> {
  const living = livingRevisions(manifest, options.now, options.retireSeconds);
  const dead = (await blobsOf(store, manifest.resource_id))
    .map((listing) => listing.key)
    .filter((key) => isDead(key, living) || (key.startsWith(publicPrefix) && !manifest.public));
  await store.delete(dead);
  return dead.length;
}

function isDead(key: string, living: ReadonlySet<string>): boolean {
  const revision = revisionOfKey(key);
  return revision !== null && !living.has(revision);
}

async function blobsOf(store: BlobStore, id: string): Promise<BlobListing[]> {
  const places = [`${id}/`, `${publicPrefix}${id}/`];
  const listings = await Promise.all(places.map((prefix) => Array.fromAsync(store.list(prefix))));
  return listings.flat();
}

/**
 * A table that is gone, deleted or no longer to be given: its manifest goes first, so that no answer names its
 * blobs, then the blobs. False when another worker took the table over meanwhile; nothing was deleted then.
 */
export async function withdraw(store: BlobStore, fence: Fence, id: ResourceId): Promise<boolean> {
  const current = await readPublished(store, id);
  const generation = await fence.take(id, current?.manifest?.generation ?? 0);
  const outcome = await fence.switchUnder(id, generation, () => store.delete([manifestKey(id)]));
  if (outcome.kind === 'superseded') return false;
  const listings = await blobsOf(store, id);
  await store.delete(listings.map((listing) => listing.key));
  return true;
}
