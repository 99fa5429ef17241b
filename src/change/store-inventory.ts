/**
 * The blob store listed whole: which tables have a manifest, and what lies there of each of their revisions. A listing
 * is no instant, so it only raises suspicions; whoever acts on one looks at the objects themselves first.
 */
import type { BlobStore } from '../blob-store/blob-store.ts';
import { parseBlobKey, readPublished, type StoredManifest } from '../manifest.ts';
import { isDumperError, errorMessage } from '../errors.ts';
import type { Log } from '../log.ts';
import { asResourceId, type ResourceId } from '../postgres/table.ts';

export interface ListedRevision {
  /** One of its keys. */
  readonly key: string;
  readonly blobs: number;
  readonly bytes: number;
}

export interface StoreInventory {
  /** Tables that have a manifest, each with what tells one version of it from another. */
  readonly manifests: ReadonlyMap<ResourceId, string>;
  /** What lies there of each table's revisions, public and other blobs apart. */
  readonly revisions: ReadonlyMap<ResourceId, readonly ListedRevision[]>;
}

/** List the store whole, remembering one entry a revision. */
export async function takeInventory(store: Pick<BlobStore, 'list'>): Promise<StoreInventory> {
  const manifests = new Map<ResourceId, string>();
  const revisions = new Map<ResourceId, { key: string; blobs: number; bytes: number }[]>();
  let last = { name: '', blobs: 0, bytes: 0 };
  for await (const { key, modifiedAt, bytes } of store.list('')) {
    const [id, name, ...rest] = key.split('/');
    if (id && name === 'manifest.json' && rest.length === 0) {
      manifests.set(asResourceId(id), `${modifiedAt.toISOString()}/${bytes}`);
      continue;
    }
    const place = parseBlobKey(key);
    if (place === null) continue;
    const revision = `${place.underPublicPrefix}/${place.id}/${place.revision}`;
    if (revision !== last.name) {
      const entry = { name: revision, key, blobs: 0, bytes: 0 };
      const known = revisions.get(place.id);
      if (known === undefined) revisions.set(place.id, [entry]);
      else known.push(entry);
      last = entry;
    }
    last.blobs += 1;
    last.bytes += bytes;
  }
  return { manifests, revisions };
}

/** Objects of single tables that could not be read; with more of them it is the store that is at fault. */
const mostUnreadable = 20;

export interface ManifestReader {
  /** Null where there is none; undefined where it cannot be read: said in the log, and left for another time. */
  published(id: ResourceId): Promise<StoredManifest | null | undefined>;
  /** Do what asks the store about one table; undefined where that failed. */
  about<Answer>(id: ResourceId, ask: () => Promise<Answer>): Promise<Answer | undefined>;
  /** How many tables could not be read. */
  unreadable(): number;
}

/** One table whose objects cannot be read does not end the sweep of the others (promise P8). */
export function createManifestReader(store: Pick<BlobStore, 'readSmall'>, log: Log): ManifestReader {
  const failed = new Set<ResourceId>();
  const about: ManifestReader['about'] = async (id, ask) => {
    if (failed.has(id)) return undefined;
    try {
      return await ask();
    } catch (error) {
      if (isDumperError(error, 'ABORTED') || failed.size >= mostUnreadable) throw error;
      failed.add(id);
      log.error({ table: id, reason: errorMessage(error) }, 'its dumps cannot be read in the blob store');
      return undefined;
    }
  };
  return {
    published: (id) => about(id, () => readPublished(store, id)),
    about,
    unreadable: () => failed.size,
  };
}

/** Eight at once: most of the time is waiting for the store. */
export async function eachOf<Item>(
  items: readonly Item[],
  work: (item: Item) => Promise<void>,
): Promise<void> {
  const left = items.values();
  await Promise.all(
    Array.from({ length: 8 }, async () => {
      for (const item of left) await work(item);
    }),
  );
}
