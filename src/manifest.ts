/**
 * The manifest: what is published of one table, switched last and by compare-and-swap. It is the truth; the state
 * database may be lost without losing a dump.
 *
 * Layout (version 1), key `<resource id>/manifest.json`:
 * `{version, resource_id, revision, token, tier, generation, published_at, columns, rows, public, blobs}`.
 */
import { z } from 'zod';
import { fileOf, variants, type Variant } from './format.ts';
import { smallObjectBytes, type BlobStore } from './blob-store/blob-store.ts';
import { DumperError, isDumperError, errorMessage } from './errors.ts';
import { asResourceId, type ResourceId } from './postgres/table.ts';

export const manifestVersion = 1;

const blobSchema = z.object({
  key: z.string(),
  bytes: z.number().int().nonnegative(),
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
  content_type: z.string(),
});

const manifestSchema = z.object({
  version: z.literal(manifestVersion),
  resource_id: z.string(),
  /** Names this publication: a digest of the token and a nonce, so that its keys are never written twice. */
  revision: z.string(),
  /** The table's revision token that the dump's snapshot read; fresh means: equal to the token of this request. */
  token: z.string(),
  tier: z.enum(['exact', 'read-only']),
  /** Fence number of the publication; grows with each switch of this table's manifest. */
  generation: z.number().int().nonnegative(),
  published_at: z.iso.datetime(),
  columns: z.array(
    z.object({ name: z.string(), type: z.string(), info: z.record(z.string(), z.unknown()).nullable() }),
  ),
  rows: z.number().int().nonnegative(),
  /** Whether anonymous users could read the table when it was published: such blobs may have a public URL. */
  public: z.boolean(),
  /** Seconds that the publication took: sets the pace of a table that never rests. */
  build_seconds: z.number().nonnegative(),
  /** Earlier revisions whose blobs stay until every URL handed out for them has ended. */
  superseded: z.array(z.object({ revision: z.string(), at: z.iso.datetime() })),
  blobs: z.partialRecord(z.enum(variants as [Variant, ...Variant[]]), blobSchema),
});

export type Manifest = z.infer<typeof manifestSchema>;
export type ManifestBlob = z.infer<typeof blobSchema>;

export function manifestKey(resourceId: string): string {
  return `${resourceId}/manifest.json`;
}

/** Blobs that a CDN may reach live under this prefix, so that it can be kept from all others. */
export const publicPrefix = 'public/';

/** Are the manifest's blobs where a CDN can reach them? */
export function isUnderPublicPrefix({ blobs }: Pick<Manifest, 'blobs'>): boolean {
  return Object.values(blobs).some(({ key }) => key.startsWith(publicPrefix));
}

/** Where the blobs of one revision live; `exposed` ones under the public prefix. */
export function revisionPrefix(resourceId: string, revision: string, exposed: boolean): string {
  return `${exposed ? publicPrefix : ''}${resourceId}/${revision}/`;
}

/** Key of a blob: the BOM twin lives under `bom/` beside the plain one, so that both keep the file's own name. */
export function blobKey(prefix: string, resourceId: string, variant: Variant): string {
  const { folder, extension } = fileOf(variant);
  return `${prefix}${folder}${resourceId}.${extension}`;
}

/**
 * A blob's key, `[public/]<id>/<revision>/[bom/]<id>.<ext>`: the layout's own shape, whatever else a bucket holds. Any
 * extension, so that what another version of this program has published is swept too.
 */
const keyShape = /^(public\/)?(.+)\/([0-9a-f]{20}-[0-9a-f]{8})\/(?:bom\/)?\2\.[a-z]+$/s;

export interface BlobKeyParts {
  readonly id: ResourceId;
  readonly revision: string;
  readonly underPublicPrefix: boolean;
}

/** Whose blob a key names; null for manifests and for whatever this service did not write. */
export function parseBlobKey(key: string): BlobKeyParts | null {
  const [match, exposed, id = '', revision = ''] = keyShape.exec(key) ?? [];
  return match === undefined
    ? null
    : { id: asResourceId(id), revision, underPublicPrefix: exposed !== undefined };
}

/** Throws `MANIFEST_INVALID` for one that could never be read again. */
export function writeManifest(manifest: Manifest): Uint8Array {
  const body = Buffer.from(`${JSON.stringify(manifest, null, 2)}\n`);
  if (body.length <= smallObjectBytes) return body;
  throw new DumperError('MANIFEST_INVALID', 'the data dictionary is too long: 16 MiB fit into a manifest');
}

/** A stored manifest and its version in the store, for compare-and-swap. */
export interface StoredManifest {
  /** Null where what is stored cannot be read: never served, replaced by the next publication. */
  readonly manifest: Manifest | null;
  readonly version: string;
}

export async function readPublished(
  store: Pick<BlobStore, 'readSmall'>,
  resourceId: string,
): Promise<StoredManifest | null> {
  const stored = await store.readSmall(manifestKey(resourceId));
  if (stored === null) return null;
  try {
    return { manifest: readManifest(stored.body), version: stored.version };
  } catch (error) {
    if (!isDumperError(error, 'MANIFEST_INVALID')) throw error;
    return { manifest: null, version: stored.version };
  }
}

/** Ids of all tables that have a manifest, in the store's order. */
export async function* publishedTables(store: Pick<BlobStore, 'list'>): AsyncGenerator<string> {
  for await (const { key } of store.list('')) {
    if (key.endsWith('/manifest.json') && key.split('/').length === 2)
      yield key.slice(0, -'/manifest.json'.length);
  }
}

/** Parse a manifest; a broken or unknown one is `MANIFEST_INVALID`, never half read. */
export function readManifest(body: Uint8Array): Manifest {
  try {
    return manifestSchema.parse(JSON.parse(Buffer.from(body).toString('utf8')));
  } catch (error) {
    throw new DumperError('MANIFEST_INVALID', `manifest cannot be read: ${errorMessage(error)}`, {
      cause: error,
    });
  }
}
