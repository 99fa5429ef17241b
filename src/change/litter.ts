/**
 * What the blob store holds and nothing refers to: blobs of a publication that a crash broke off, superseded ones of a
 * table that never changes again, those of a table that is gone (promise P7).
 *
 * Nothing is deleted here. A table with litter is looked at like one that changed: the publication that follows finds
 * it unchanged, or gone, and clears away under the table's fence, when no other publication of it can be under way.
 * Only keys of the layout's own shape count, so that strangers below the same prefix are never touched.
 */
import { placeOfKey } from '../manifest.ts';
import { deadKeys } from '../publish/cleanup.ts';
import type { TableRecord } from '../state/publications.ts';
import type { ResourceId } from '../postgres/table.ts';
import { eachOf, type ListedRevision, type Listing, type Reading } from './store-inventory.ts';

export interface LitterWorld {
  readonly reading: Pick<Reading, 'published'>;
  readonly now: () => Date;
  /** How long a superseded revision's URLs may still be used, in seconds. */
  readonly retireSeconds: number;
}

/** Tables that have blobs which their manifest does not keep; those being published now are left for another time. */
export async function tablesWithLitter(
  { reading, now, retireSeconds }: LitterWorld,
  { revisions }: Listing,
  records: ReadonlyMap<ResourceId, TableRecord>,
): Promise<ResourceId[]> {
  const suspects = [...revisions].filter(([id, listed]) => isSuspect(records.get(id), listed));
  const littered: ResourceId[] = [];
  await eachOf(suspects, async ([id, listed]) => {
    const published = await reading.published(id);
    if (published === undefined) return;
    const manifest = published?.manifest ?? null;
    const keys = listed.map(({ key }) => key);
    if (manifest === null || deadKeys(manifest, keys, { now: now(), retireSeconds }).length > 0)
      littered.push(id);
  });
  return littered;
}

/** Told by the records alone for most tables: exactly the published revision is there. */
function isSuspect(record: TableRecord | undefined, listed: readonly ListedRevision[]): boolean {
  if (record?.held === true) return false;
  return listed.some(({ key }) => {
    const place = placeOfKey(key);
    return place?.revision !== record?.revision || (place?.exposed === true && record?.public === false);
  });
}
