/**
 * A table that anonymous users may read no longer: what of it lies under the public prefix goes at once, whatever URLs
 * were handed out (promise P10).
 *
 * The manifest goes first, so that no answer names those blobs, then the blobs. No fence is needed: a publication that is
 * under way finds its manifest gone and asks again who may read, and every answer meanwhile is live.
 */
import type { BlobStore } from '../blob-store/blob-store.ts';
import type { ResourceId } from '../postgres/table.ts';
import { isUnderPublicPrefix, manifestKey, parseBlobKey, publicPrefix, readPublished } from '../manifest.ts';

/** Take away what a CDN could reach of a table; returns how many blobs went. */
export async function removePublicBlobs(store: BlobStore, id: ResourceId): Promise<number> {
  const manifest = (await readPublished(store, id))?.manifest ?? null;
  if (manifest !== null && isUnderPublicPrefix(manifest)) await store.delete([manifestKey(id)]);
  const listings = await Array.fromAsync(store.list(`${publicPrefix}${id}/`));
  const exposed = listings.map(({ key }) => key).filter((key) => parseBlobKey(key)?.id === id);
  await store.delete(exposed);
  return exposed.length;
}
