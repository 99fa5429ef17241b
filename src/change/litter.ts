/**
 * What the blob store holds and nothing refers to: blobs of a publication that a crash broke off, superseded ones of a
 * table that never changes again, those of a table that is gone (promise P7).
 *
 * Nothing is deleted here. A table with litter is looked at like one that changed: the publication that follows finds
 * it unchanged, or gone, and clears away under the table's fence, when no other publication of it can be under way.
 * Only keys of the layout's own shape count, so that strangers below the same prefix are never touched.
 */
import { parseBlobKey } from '../manifest.ts';
import { orphanedKeys } from '../publish/cleanup.ts';
import type { PublicationRecord } from '../state/publications.ts';
import type { ResourceId } from '../postgres/table.ts';
import { eachOf, type ListedRevision, type StoreInventory, type ManifestReader } from './store-inventory.ts';

export interface OrphanDeps {
  readonly reading: Pick<ManifestReader, 'published'>;
  readonly now: () => Date;
  /** How long a superseded revision's URLs may still be used, in seconds. */
  readonly retireSeconds: number;
}

/** Tables that have blobs which their manifest does not keep; those being published now are left for another time. */
export async function tablesWithOrphanedBlobs(
  { reading, now, retireSeconds }: OrphanDeps,
  { revisions }: StoreInventory,
  records: ReadonlyMap<ResourceId, PublicationRecord>,
): Promise<ResourceId[]> {
  const suspects = [...revisions].filter(([id, listed]) => isSuspect(records.get(id), listed));
  const littered: ResourceId[] = [];
  await eachOf(suspects, async ([id, listed]) => {
    const published = await reading.published(id);
    if (published === undefined) return;
    const manifest = published?.manifest ?? null;
    const keys = listed.map(({ key }) => key);
    if (manifest === null || orphanedKeys(manifest, keys, { now: now(), retireSeconds }).length > 0)
      littered.push(id);
  });
  return littered;
}

/** Told by the records alone for most tables: exactly the published revision is there. */
function isSuspect(record: PublicationRecord | undefined, listed: readonly ListedRevision[]): boolean {
  if (record?.leased === true) return false;
  return listed.some(({ key }) => {
    const place = parseBlobKey(key);
    return (
      place?.revision !== record?.revision || (place?.underPublicPrefix === true && record?.public === false)
    );
  });
}
