/**
 * Where a fresh blob can be fetched from (promises P6, P9, P17): the CDN, for what anonymous users may read and only
 * from the public prefix; else a signed URL of short life, or a signed path of the directory store.
 *
 * Only configured origins are ever named; nothing of the request is part of a URL but the table it resolved to.
 */
import type { BlobStore } from '../blob-store/blob-store.ts';
import { publicPrefix, type ManifestBlob } from '../manifest.ts';
import { variesByOrigin } from './cors.ts';
import { createLruCache } from '../lru.ts';
import type { FreshBlob } from './blob-response.ts';
import { cacheControlOf, varyHeaders } from './errors.ts';
import type { ServeDeps } from './context.ts';

export interface Wanted {
  readonly blob: ManifestBlob;
  /** Anonymous users may read the table, as CKAN says now. */
  readonly public: boolean;
  /** The Content-Disposition that the caller is to get. */
  readonly disposition: string;
  /** The disposition that the stored object has of its own. */
  readonly ownDisposition: string;
}

export interface Location {
  readonly url: string;
  /** Whoever holds the URL may read the blob until its life ends: an answer that names it is nobody's to keep. */
  readonly signed: boolean;
}

/** The body of a redirect, for whoever follows none. */
export const redirectText = 'The dump is at the address in Location\n';

/**
 * What a redirect says, but for what every answer does. No entity tag: a cache could renew a stored redirect by it (304)
 * after the address has ended.
 */
export async function redirectHead(
  deps: Pick<ServeDeps, 'config' | 'store'>,
  fresh: FreshBlob,
): Promise<Readonly<Record<string, string>>> {
  const { config } = deps;
  const { url, signed } = await locationOf(deps, fresh);
  return {
    'Cache-Control': cacheControlOf(fresh.public && !signed),
    Vary: variesByOrigin(config) ? `Origin, ${varyHeaders(config)}` : varyHeaders(config),
    'X-Dump-Source': 'blob',
    'X-Dump-Revision': fresh.manifest.revision,
    Location: url,
    'Content-Type': 'text/plain; charset=utf-8',
    // else Node would send it in chunks
    'Content-Length': String(Buffer.byteLength(redirectText)),
  };
}

export async function locationOf(
  deps: Pick<ServeDeps, 'config' | 'store'>,
  wanted: Wanted,
): Promise<Location> {
  const { config } = deps;
  const renamed = wanted.disposition !== wanted.ownDisposition;
  const base = config.DUMPER_PUBLIC_BLOB_URL;
  if (base !== undefined && wanted.public && !renamed && wanted.blob.key.startsWith(publicPrefix)) {
    return { url: `${base}/${wanted.blob.key.split('/').map(encodeURIComponent).join('/')}`, signed: false };
  }
  return { url: await sign(deps, wanted), signed: true };
}

/**
 * A signed URL. Its answer says that no cache may use it unasked, so that none outlives the signature, or, sent by nginx
 * under the dump's own address, the table's present state.
 */
export async function sign(
  { config, store }: Pick<ServeDeps, 'config' | 'store'>,
  { blob, disposition, ownDisposition, public: isPublic }: Wanted,
): Promise<string> {
  if (store === null) throw new TypeError('a blob without a store');
  return signaturesOf(store)(blob.key, {
    lifeSeconds: config.DUMPER_URL_LIFE_SECONDS,
    cacheControl: isPublic ? 'public, max-age=0, must-revalidate' : 'private, no-store',
    ...(disposition === ownDisposition ? {} : { contentDisposition: disposition }),
  });
}

type SignUrl = BlobStore['signedUrl'];

const signaturesKept = 1000;
const reusedMilliseconds = 1000;

/** Whoever asks for the same within a second, or a hundredth of its life, gets the same URL: it ends that much earlier. */
export function rememberSignatures(signUrl: SignUrl, now: () => number = Date.now): SignUrl {
  const recent = createLruCache<{ readonly url: Promise<string>; readonly until: number }>(signaturesKept);
  return (key, options) => {
    const { lifeSeconds, cacheControl = '', contentDisposition = '' } = options;
    const name = `${lifeSeconds}\n${cacheControl}\n${contentDisposition}\n${key}`;
    const known = recent.get(name);
    const askedAt = now();
    if (known !== undefined && askedAt < known.until) return known.url;
    const url = signUrl(key, options);
    recent.set(name, { url, until: askedAt + Math.min(reusedMilliseconds, lifeSeconds * 10) });
    url.catch(() => recent.delete(name));
    return url;
  };
}

const signatures = new WeakMap<BlobStore, SignUrl>();

function signaturesOf(store: BlobStore): SignUrl {
  const known = signatures.get(store) ?? rememberSignatures((key, options) => store.signedUrl(key, options));
  signatures.set(store, known);
  return known;
}
