/**
 * What the blob store holds and nothing refers to: blobs of a publication that a crash broke off, superseded ones of a
 * table that never changes again, those of a table that is gone (promise P7).
 *
 * Nothing is deleted here. A table with litter is looked at like one that changed: the publication that follows finds
 * it unchanged, or gone, and clears away under the table's fence, when no other publication of it can be under way.
 * Only keys of the layout's own shape count, so that strangers below the same prefix are never touched.
 */
import type { BlobStore } from '../blob-store.ts';
import { placeOfKey, readPublished } from '../dump/manifest.ts';
import { deadKeys } from '../dump/retire.ts';
import type { TableRecord } from '../state/record.ts';
import { asResourceId, type ResourceId } from '../table.ts';

export interface Listing {
  /** Tables that have a manifest, each with what tells one version of it from another. */
  readonly manifests: ReadonlyMap<ResourceId, string>;
  /** One key of each table's revisions, public and other ones apart. */
  readonly samples: ReadonlyMap<ResourceId, readonly string[]>;
}

/** List the store whole, remembering one key a revision. */
export async function listStore(store: Pick<BlobStore, 'list'>): Promise<Listing> {
  const manifests = new Map<ResourceId, string>();
  const samples = new Map<ResourceId, string[]>();
  let last = '';
  for await (const { key, modifiedAt, bytes } of store.list('')) {
    const [id, name, ...rest] = key.split('/');
    if (id && name === 'manifest.json' && rest.length === 0) {
      manifests.set(asResourceId(id), `${modifiedAt.toISOString()}/${bytes}`);
      continue;
    }
    const place = placeOfKey(key);
    if (place === null) continue;
    const revision = `${place.exposed}/${place.id}/${place.revision}`;
    if (revision === last) continue;
    last = revision;
    const known = samples.get(place.id);
    if (known === undefined) samples.set(place.id, [key]);
    else known.push(key);
  }
  return { manifests, samples };
}

export interface LitterWorld {
  readonly store: Pick<BlobStore, 'readSmall'>;
  readonly now: () => Date;
  /** How long a superseded revision's URLs may still be used, in seconds. */
  readonly retireSeconds: number;
}

/** Tables that have blobs which their manifest does not keep; those being published now are left for another time. */
export async function tablesWithLitter(
  world: LitterWorld,
  { samples }: Listing,
  records: ReadonlyMap<ResourceId, TableRecord>,
): Promise<ResourceId[]> {
  const suspects = [...samples].filter(([id, keys]) => isSuspect(records.get(id), keys));
  const littered: ResourceId[] = [];
  const examine = async (): Promise<void> => {
    for (let next = suspects.pop(); next !== undefined; next = suspects.pop()) {
      const [id, keys] = next;
      const manifest = (await readPublished(world.store, id))?.manifest ?? null;
      const { now, retireSeconds } = world;
      if (manifest === null || deadKeys(manifest, keys, { now: now(), retireSeconds }).length > 0)
        littered.push(id);
    }
  };
  await Promise.all(Array.from({ length: 8 }, examine));
  return littered;
}

/** Told by the records alone for most tables: exactly the published revision is there. */
function isSuspect(record: TableRecord | undefined, keys: readonly string[]): boolean {
  if (record?.held === true) return false;
  return keys.some((key) => {
    const place = placeOfKey(key);
    return place?.revision !== record?.revision || (place?.exposed === true && record?.public === false);
  });
}
