/** What is published, read again as a stranger would: blobs against manifests, and what nothing refers to. */
import { createHash } from 'node:crypto';
import { buffer } from 'node:stream/consumers';
import type { BlobStore } from '../../src/blob-store/blob-store.ts';
import { createManifestReader, takeInventory } from '../../src/change/store-inventory.ts';
import { tablesWithOrphanedBlobs } from '../../src/change/store-inventory.ts';
import { readPublished, type Manifest } from '../../src/manifest.ts';
import { formatOf, type Variant } from '../../src/format.ts';
import { createLog } from '../../src/log.ts';
import { readRows } from '../dump/oracle-formatter.ts';
import { asResourceId } from '../../src/postgres/table.ts';

const signal = new AbortController().signal;

export async function manifestOf(store: BlobStore, id: string): Promise<Manifest | null> {
  return (await readPublished(store, id))?.manifest ?? null;
}

export async function blobBytes(store: BlobStore, key: string): Promise<Buffer> {
  const source = await store.read(key, signal);
  if (source === null) throw new Error(`no blob ${key}`);
  return buffer(source);
}

/** Faults of a manifest: blobs that are not what it says, in bytes, sha256 or rows. Empty: all sound. */
export async function faultsOf(store: BlobStore, manifest: Manifest): Promise<string[]> {
  const faults: string[] = [];
  for (const [variant, blob] of Object.entries(manifest.blobs)) {
    const bytes = await blobBytes(store, blob.key);
    const name = `${manifest.resource_id} ${variant}`;
    if (bytes.length !== blob.bytes) faults.push(`${name}: ${bytes.length} bytes`);
    if (createHash('sha256').update(bytes).digest('hex') !== blob.sha256) faults.push(`${name}: sha256`);
    const rows = readRows(formatOf(variant as Variant), bytes).length;
    if (rows !== manifest.rows) faults.push(`${name}: ${rows} rows, not ${manifest.rows}`);
  }
  return faults;
}

/** Tables with orphans as of `now`, and everything in the store that is no blob of a manifest and no manifest. */
export async function orphansIn(store: BlobStore, now: Date, retireSeconds: number): Promise<string[]> {
  const reader = createManifestReader(store, createLog('silent'));
  const world = { reader, now: () => now, retireSeconds };
  return tablesWithOrphanedBlobs(world, await takeInventory(store), new Map());
}

export async function keysIn(store: BlobStore): Promise<string[]> {
  return (await Array.fromAsync(store.list(''))).map(({ key }) => key).sort();
}

/** Every key that the manifests of these tables name, and the manifests' own. */
export async function namedKeys(store: BlobStore, ids: readonly string[]): Promise<string[]> {
  const manifests = await Promise.all(ids.map((id) => manifestOf(store, asResourceId(id))));
  return manifests
    .flatMap((manifest, index) =>
      manifest === null
        ? []
        : [`${ids[index]}/manifest.json`, ...Object.values(manifest.blobs).map(({ key }) => key)],
    )
    .sort();
}
