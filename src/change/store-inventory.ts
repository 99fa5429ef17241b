/**
 * The blob store listed whole, and what the sweep finds by it: manifests that the records do not know, blobs that nothing
 * names, and blobs that are missing. The store is swept clean and published dumps are whole (promises P1, P5, P7).
 *
 * A listing is no instant, so it only raises a suspicion: each is confirmed by reading the objects themselves. Nothing is
 * deleted here. A table with a confirmed finding goes into the queue like one that changed; its publication cleans up
 * under the table's fence, when no other publication of it can be under way.
 */
import { mapLimit } from '../async/map-limit.ts';
import type { BlobStore } from '../blob-store/blob-store.ts';
import { isDumperError, errorMessage } from '../errors.ts';
import type { Log } from '../log.ts';
import {
  parseBlobKey,
  parseManifestKey,
  readPublished,
  type Manifest,
  type StoredManifest,
} from '../manifest.ts';
import type { ResourceId } from '../postgres/table.ts';
import { orphanedKeys } from '../publish/cleanup.ts';
import type { PublicationRecord, Publications } from '../state/publications.ts';

/** Questions to the store at once: most of the time is waiting for it. */
const questionsAtOnce = 8;

interface ListedRevision {
  /** One of its keys. */
  readonly key: string;
  readonly blobs: number;
  readonly bytes: number;
}

export interface StoreInventory {
  /** Tables that have a manifest, with modification time and length: they differ between versions of it. */
  readonly manifests: ReadonlyMap<ResourceId, string>;
  /** What is stored of each table's revisions; blobs under the public prefix are an entry of their own. */
  readonly revisions: ReadonlyMap<ResourceId, readonly ListedRevision[]>;
}

/** List the whole store; one entry is kept for each revision. */
export async function takeInventory(store: Pick<BlobStore, 'list'>): Promise<StoreInventory> {
  const manifests = new Map<ResourceId, string>();
  const revisions = new Map<ResourceId, { key: string; blobs: number; bytes: number }[]>();
  let last = { name: '', blobs: 0, bytes: 0 };
  for await (const { key, modifiedAt, bytes } of store.list('')) {
    const manifestOf = parseManifestKey(key);
    if (manifestOf !== null) {
      manifests.set(manifestOf, `${modifiedAt.toISOString()}/${bytes}`);
      continue;
    }
    const parts = parseBlobKey(key);
    if (parts === null) continue;
    const revision = `${parts.underPublicPrefix}/${parts.id}/${parts.revision}`;
    if (revision !== last.name) {
      const entry = { name: revision, key, blobs: 0, bytes: 0 };
      const known = revisions.get(parts.id);
      if (known === undefined) revisions.set(parts.id, [entry]);
      else known.push(entry);
      last = entry;
    }
    last.blobs += 1;
    last.bytes += bytes;
  }
  return { manifests, revisions };
}

/** So many tables may have unreadable objects; with more of them the store itself is at fault. */
const mostUnreadable = 20;

export interface ManifestReader {
  /** Null where there is none; undefined where it cannot be read, which is logged and left for the next sweep. */
  published(id: ResourceId): Promise<StoredManifest | null | undefined>;
  /** Run a question to the store about one table; undefined where it failed. */
  about<Answer>(id: ResourceId, ask: () => Promise<Answer>): Promise<Answer | undefined>;
  /** How many tables could not be read. */
  unreadable(): number;
}

/** One table with unreadable objects does not end the sweep of the others (P8, a broken table holds up no other). */
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

/**
 * Make the records say what the listed manifests say: read the manifests that are not known yet, and forget those that
 * are not there any more. The manifest is the truth (P5, a lost state database loses no dump).
 */
export async function rebuildRecords(
  {
    publications,
    reader,
  }: { readonly publications: Publications; readonly reader: Pick<ManifestReader, 'published'> },
  tables: ReadonlyMap<ResourceId, unknown>,
  { manifests: listed, revisions }: StoreInventory,
): Promise<void> {
  const known = await publications.all();
  const unread = [...listed].filter(([id, entry]) => known.get(id)?.listed !== entry);
  await mapLimit(unread, questionsAtOnce, async ([id, entry]) => {
    const published = await reader.published(id);
    if (published === undefined) return;
    // An unreadable manifest counts as none: the table is published anew, or unpublished where it is gone.
    if (published?.manifest) await publications.recordDiscovered(id, published.manifest, entry);
    else if (tables.has(id)) await publications.recordRemoved([id], 'manifest missing');
    // A file of this name that nothing else says is ours may be somebody else's.
    else if (known.has(id) || revisions.has(id))
      await publications.recordChanges([{ id }], { quietSeconds: 0, hotTableFactor: 0 });
  });
  const absent = [...known.values()].filter(({ id, token, leased }) => token && !leased && !listed.has(id));
  if (absent.length > 0) {
    await publications.recordRemoved(
      absent.map(({ id }) => id),
      'manifest missing',
    );
  }
}

interface OrphanDeps {
  readonly reader: Pick<ManifestReader, 'published'>;
  readonly now: () => Date;
  /** How long a superseded revision's URLs may still be used, in seconds. */
  readonly retireSeconds: number;
}

/**
 * Tables with orphaned blobs, which nothing names any more: those of a publication that a crash ended, superseded ones
 * of a table that never changes again, those of a table that is gone. Tables that are being published now are left for
 * the next listing.
 */
export async function tablesWithOrphanedBlobs(
  { reader, now, retireSeconds }: OrphanDeps,
  { revisions }: StoreInventory,
  records: ReadonlyMap<ResourceId, PublicationRecord>,
): Promise<ResourceId[]> {
  const suspects = [...revisions].filter(([id, listed]) => mayHaveOrphans(records.get(id), listed));
  const found: ResourceId[] = [];
  await mapLimit(suspects, questionsAtOnce, async ([id, listed]) => {
    const published = await reader.published(id);
    if (published === undefined) return;
    const manifest = published?.manifest ?? null;
    const keys = listed.map(({ key }) => key);
    if (manifest === null || orphanedKeys(manifest, keys, { now: now(), retireSeconds }).length > 0)
      found.push(id);
  });
  return found;
}

/** The records alone clear most tables: exactly the published revision is there. */
function mayHaveOrphans(record: PublicationRecord | undefined, listed: readonly ListedRevision[]): boolean {
  if (record?.leased === true) return false;
  return listed.some(({ key }) => {
    const parts = parseBlobKey(key);
    return (
      parts?.revision !== record?.revision || (parts?.underPublicPrefix === true && record?.public === false)
    );
  });
}

/**
 * Tables whose manifest names blobs that are not in the store, or not whole: deleted by hand or by a lifecycle rule, or
 * lost in a restore. That a blob of the right length holds other bytes, `verify` alone finds. Tables that are being
 * published now are left for the next listing.
 */
export async function tablesMissingBlobs(
  head: BlobStore['head'],
  reader: Pick<ManifestReader, 'published' | 'about'>,
  inventory: StoreInventory,
  records: readonly PublicationRecord[],
): Promise<ResourceId[]> {
  const suspects = records.filter((record) => mayMissBlobs(record, inventory));
  const found: ResourceId[] = [];
  await mapLimit(suspects, questionsAtOnce, async ({ id }) => {
    const before = await reader.published(id);
    const manifest = before?.manifest ?? null;
    if (manifest === null || (await reader.about(id, () => isWhole(head, manifest))) !== false) return;
    // Published anew meanwhile: then what is missing may have been pruned.
    const after = await reader.published(id);
    if (after?.version === before?.version) found.push(id);
  });
  return found;
}

/** The records alone clear most tables: as many blobs and bytes as were published are there. */
function mayMissBlobs(
  { id, leased, revision, variants, blobBytes }: PublicationRecord,
  inventory: StoreInventory,
): boolean {
  if (leased || revision === null) return false;
  const listed = (inventory.revisions.get(id) ?? []).filter(
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
