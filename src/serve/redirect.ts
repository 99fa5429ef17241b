/**
 * Where a fresh blob can be fetched from (promises P6, P9, P17): the CDN, for what anonymous users may read and only
 * from the public prefix; else a signed URL of short life, or a signed path of the directory store.
 *
 * Only configured origins are ever named; nothing of the request is part of a URL but the table it resolved to.
 */
import { publicPrefix, type ManifestBlob } from '../dump/manifest.ts';
import type { ServeWorld } from './world.ts';

export interface Wanted {
  readonly blob: ManifestBlob;
  /** Anonymous users may read the table, as CKAN says now. */
  readonly public: boolean;
  /** The Content-Disposition that the caller is to get. */
  readonly disposition: string;
  /** The disposition that the stored object has of its own. */
  readonly ownDisposition: string;
}

export async function locationOf(
  world: Pick<ServeWorld, 'config' | 'store'>,
  wanted: Wanted,
): Promise<string> {
  const { config } = world;
  const renamed = wanted.disposition !== wanted.ownDisposition;
  const base = config.DUMPER_PUBLIC_BLOB_URL;
  if (base !== undefined && wanted.public && !renamed && wanted.blob.key.startsWith(publicPrefix)) {
    return `${base}/${wanted.blob.key.split('/').map(encodeURIComponent).join('/')}`;
  }
  return sign(world, wanted, wanted.public ? undefined : privately);
}

const privately = 'private, no-store';

/**
 * The same for nginx, which sends the blob under the dump's own address: there the blob's `immutable` would be wrong, so
 * the address is always a signed one that says how long the answer holds.
 */
export function addressForNginx(
  world: Pick<ServeWorld, 'config' | 'store'>,
  wanted: Wanted,
): Promise<string> {
  return sign(world, wanted, wanted.public ? 'public, max-age=0, must-revalidate' : privately);
}

async function sign(
  { config, store }: Pick<ServeWorld, 'config' | 'store'>,
  { blob, disposition, ownDisposition }: Wanted,
  cacheControl: string | undefined,
): Promise<string> {
  if (store === null) throw new TypeError('a blob without a store');
  return store.signedUrl(blob.key, {
    lifeSeconds: config.DUMPER_URL_LIFE_SECONDS,
    ...(cacheControl === undefined ? {} : { cacheControl }),
    ...(disposition === ownDisposition ? {} : { contentDisposition: disposition }),
  });
}
