/**
 * Published blobs that are not in the store any more, or not whole: deleted by hand or by a lifecycle rule, lost in a
 * restore. The listing tells by number and bytes where to look; the objects themselves decide. Such a table is
 * published anew whether it changed or not. That a blob of the right length holds other bytes, `verify` alone finds.
 */
import type { BlobStore } from '../blob-store/blob-store.ts';
import { parseBlobKey, type Manifest } from '../manifest.ts';
import type { PublicationRecord } from '../state/publications.ts';
import type { ResourceId } from '../postgres/table.ts';
import { eachOf, type StoreInventory, type ManifestReader } from './store-inventory.ts';

/** Tables whose manifest names blobs that are not there; those being published now are left for another time. */
export async function tablesMissingBlobs(
  head: BlobStore['head'],
  reading: Pick<ManifestReader, 'published' | 'about'>,
  listing: StoreInventory,
  records: readonly PublicationRecord[],
): Promise<ResourceId[]> {
  const damaged: ResourceId[] = [];
  await eachOf(
    records.filter((record) => isSuspect(record, listing)),
    async ({ id }) => {
      const before = await reading.published(id);
      const manifest = before?.manifest ?? null;
      if (manifest === null || (await reading.about(id, () => isWhole(head, manifest))) !== false) return;
      // Published anew meanwhile: then what was looked for may have been cleared away.
      const after = await reading.published(id);
      if (after?.version === before?.version) damaged.push(id);
    },
  );
  return damaged;
}

/** Told by the records alone for most tables: as many blobs and bytes as were published are there. */
function isSuspect(
  { id, leased, revision, variants, blobBytes }: PublicationRecord,
  listing: StoreInventory,
): boolean {
  if (leased || revision === null) return false;
  const listed = (listing.revisions.get(id) ?? []).filter(
    ({ key }) => parseBlobKey(key)?.revision === revision,
  );
  const sum = (count: 'blobs' | 'bytes'): number => listed.reduce((total, entry) => total + entry[count], 0);
  return sum('blobs') !== variants?.split(',').length || sum('bytes') !== blobBytes;
}

async function isWhole(head: BlobStore['head'], { blobs }: Manifest): Promise<boolean> {
  for (const { key, bytes } of Object.values(blobs)) {
    if ((await head(key))?.bytes !== bytes) return false;
  }
  return true;
}
