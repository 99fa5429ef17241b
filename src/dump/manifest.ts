/**
 * The manifest: what is published of one table, switched last and by compare-and-swap. It is the truth; the state
 * database may be lost without losing a dump.
 *
 * Layout (version 1), key `<resource id>/manifest.json`:
 * `{version, resource_id, revision, token, tier, generation, published_at, columns, rows, public, blobs}`.
 */
import { z } from 'zod';
import { variants, type Variant } from '../format.ts';
import { DumperError, reasonOf } from '../errors.ts';

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
  blobs: z.partialRecord(z.enum(variants as [Variant, ...Variant[]]), blobSchema),
});

export type Manifest = z.infer<typeof manifestSchema>;
export type ManifestBlob = z.infer<typeof blobSchema>;

export function manifestKey(resourceId: string): string {
  return `${resourceId}/manifest.json`;
}

/** Key of a blob: the BOM twin lives under `bom/` beside the plain one, so that both keep the file's own name. */
export function blobKey(resourceId: string, revision: string, variant: Variant): string {
  const [extension, bom] = variant.split('+');
  return `${resourceId}/${revision}/${bom ? 'bom/' : ''}${resourceId}.${extension}`;
}

export function writeManifest(manifest: Manifest): Uint8Array {
  return Buffer.from(`${JSON.stringify(manifest, null, 2)}\n`);
}

/** Parse a manifest; a broken or unknown one is `MANIFEST_INVALID`, never half read. */
export function readManifest(body: Uint8Array): Manifest {
  try {
    return manifestSchema.parse(JSON.parse(Buffer.from(body).toString('utf8')));
  } catch (error) {
    throw new DumperError('MANIFEST_INVALID', `manifest cannot be read: ${reasonOf(error)}`, { cause: error });
  }
}
