/** Verification: every blob that a manifest names is read again and compared with its length and sha256 there. */
import { createHash } from 'node:crypto';
import type { BlobStore } from '../blob-store/blob-store.ts';
import type { Variant } from '../format.ts';
import type { Manifest, ManifestBlob } from '../manifest.ts';

type BlobFinding =
  | { readonly variant: Variant; readonly kind: 'sound'; readonly bytes: number }
  | { readonly variant: Variant; readonly kind: 'missing' }
  | { readonly variant: Variant; readonly kind: 'corrupt'; readonly bytes: number; readonly sha256: string };

/** Read the blobs of one manifest again, one after the other; each finding is given at once. */
export async function* verify(
  store: BlobStore,
  manifest: Manifest,
  signal: AbortSignal,
): AsyncGenerator<BlobFinding> {
  for (const [variant, blob] of Object.entries(manifest.blobs)) {
    if (blob !== undefined) yield await verifyBlob(store, variant as Variant, blob, signal);
  }
}

async function verifyBlob(
  store: BlobStore,
  variant: Variant,
  blob: ManifestBlob,
  signal: AbortSignal,
): Promise<BlobFinding> {
  const source = await store.read(blob.key, signal);
  if (source === null) return { variant, kind: 'missing' };
  const hash = createHash('sha256');
  let bytes = 0;
  for await (const chunk of source as AsyncIterable<Uint8Array>) {
    hash.update(chunk);
    bytes += chunk.length;
  }
  const sha256 = hash.digest('hex');
  const sound = bytes === blob.bytes && sha256 === blob.sha256;
  return sound ? { variant, kind: 'sound', bytes } : { variant, kind: 'corrupt', bytes, sha256 };
}
