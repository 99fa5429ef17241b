/**
 * The manifest: what is published of one table. A publication replaces it last, by compare-and-swap. It is the truth: the
 * state database may be lost without losing a dump.
 *
 * Layout (version 1), key `<resource id>/manifest.json`:
 * `{version, resource_id, revision, token, tier, generation, published_at, columns, rows, public, blobs}`.
 */
import { z } from 'zod';
import { fileOf, variants, type Variant } from './format.ts';
import { smallObjectBytes, type BlobStore } from './blob-store/blob-store.ts';
import { DumperError, isDumperError, errorMessage } from './errors.ts';
import { parseResourceId, type ResourceId } from './postgres/table.ts';

export const manifestVersion = 1;

const blobSchema = z.object({
  key: z.string(),
  bytes: z.number().int().nonnegative(),
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
  content_type: z.string(),
});

const manifestSchema = z.object({
  version: z.literal(manifestVersion),
  resource_id: z.custom<ResourceId>((id) => typeof id === 'string' && parseResourceId(id) !== null),
  /** The name of this publication: a digest of the token and a nonce, so that its keys are never written twice. */
  revision: z.string(),
  /** The table's revision token in the dump's snapshot. The dump is fresh while a request reads the same token. */
  token: z.string(),
  tier: z.enum(['exact', 'read-only']),
  /** The fence's generation of this publication; it grows with each publication of the table. */
  generation: z.number().int().nonnegative(),
  published_at: z.iso.datetime(),
  columns: z.array(
    z.object({ name: z.string(), type: z.string(), info: z.record(z.string(), z.unknown()).nullable() }),
  ),
  rows: z.number().int().nonnegative(),
  /** Whether anonymous users could read the table when it was published: such blobs may have a public URL. */
  public: z.boolean(),
  /** Seconds that the publication took; a table that changes all the time is published at a multiple of them. */
  build_seconds: z.number().nonnegative(),
  /** Earlier revisions whose blobs stay until every URL that was given out for them has expired. */
  superseded: z.array(z.object({ revision: z.string(), at: z.iso.datetime() })),
  blobs: z.partialRecord(z.enum(variants as [Variant, ...Variant[]]), blobSchema),
});

export type Manifest = z.infer<typeof manifestSchema>;
export type ManifestBlob = z.infer<typeof blobSchema>;

export interface RetentionOptions {
  readonly now: Date;
  /** How long a superseded revision's URLs may still be used, in seconds. */
  readonly retireSeconds: number;
}

/** Must the blobs of a superseded revision stay, because a URL that was given out for them may still be valid? */
export function isRetained(
  { at }: Manifest['superseded'][number],
  { now, retireSeconds }: RetentionOptions,
): boolean {
  return Date.parse(at) + retireSeconds * 1000 > now.getTime();
}

const manifestName = '/manifest.json';

/** What all its blobs take in the store, in bytes. */
export function blobBytesOf({ blobs }: Pick<Manifest, 'blobs'>): number {
  return Object.values(blobs).reduce((sum, { bytes }) => sum + bytes, 0);
}

export function manifestKey(resourceId: string): string {
  return `${resourceId}${manifestName}`;
}

/** Whose manifest a key names; null for every other key. */
export function parseManifestKey(key: string): ResourceId | null {
  if (!key.endsWith(manifestName)) return null;
  const id = key.slice(0, -manifestName.length);
  return id.includes('/') ? null : parseResourceId(id);
}

/** Blobs that a CDN may reach live under this prefix, so that it can be kept from all others. */
export const publicPrefix = 'public/';

/** Are the manifest's blobs where a CDN can reach them? */
export function isUnderPublicPrefix({ blobs }: Pick<Manifest, 'blobs'>): boolean {
  return Object.values(blobs).some(({ key }) => key.startsWith(publicPrefix));
}

/** Where the blobs of one revision live. */
export function revisionPrefix(resourceId: string, revision: string, underPublicPrefix: boolean): string {
  return `${underPublicPrefix ? publicPrefix : ''}${resourceId}/${revision}/`;
}

/** Key of a blob. The BOM variant lives under `bom/` beside the plain one, so that both have the same file name. */
export function blobKey(prefix: string, resourceId: string, variant: Variant): string {
  const { folder, extension } = fileOf(variant);
  return `${prefix}${folder}${resourceId}.${extension}`;
}

/**
 * `[public/]<id>/<revision>/[bom/]<id>.<ext>`: a bucket may hold other keys too, which are nobody's blobs. Any extension,
 * so that what another version of this program has published is swept too.
 */
const keyShape = /^(public\/)?(.+)\/([0-9a-f]{20}-[0-9a-f]{8})\/(?:bom\/)?\2\.[a-z]+$/s;

interface BlobKeyParts {
  readonly id: ResourceId;
  readonly revision: string;
  readonly underPublicPrefix: boolean;
}

/** Whose blob a key names; null for manifests and for what this service did not write. */
export function parseBlobKey(key: string): BlobKeyParts | null {
  const [match, prefix, name = '', revision = ''] = keyShape.exec(key) ?? [];
  const id = match === undefined ? null : parseResourceId(name);
  return id === null ? null : { id, revision, underPublicPrefix: prefix !== undefined };
}

/** Throws `MANIFEST_INVALID` for one that could never be read again. */
export function writeManifest(manifest: Manifest): Uint8Array {
  const body = Buffer.from(`${JSON.stringify(manifest, null, 2)}\n`);
  if (body.length <= smallObjectBytes) return body;
  throw new DumperError('MANIFEST_INVALID', 'the data dictionary is too long: 16 MiB fit into a manifest');
}

/** A manifest as the holder of this generation of the fence found or left it. */
export interface FencedManifest {
  readonly manifest: Manifest;
  readonly generation: number;
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
export async function* publishedTables(store: Pick<BlobStore, 'list'>): AsyncGenerator<ResourceId> {
  for await (const { key } of store.list('')) {
    const id = parseManifestKey(key);
    if (id !== null) yield id;
  }
}

/** Parse a manifest. A broken one, or one of an unknown version, throws `MANIFEST_INVALID`. */
function readManifest(body: Uint8Array): Manifest {
  try {
    return manifestSchema.parse(JSON.parse(Buffer.from(body).toString('utf8')));
  } catch (error) {
    throw new DumperError('MANIFEST_INVALID', `manifest cannot be read: ${errorMessage(error)}`, {
      cause: error,
    });
  }
}
