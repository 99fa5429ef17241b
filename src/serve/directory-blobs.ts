/**
 * `GET, HEAD /blobs/<key>`: the directory store's blobs, by a signed path while it is valid (P6, a redirect stays valid
 * for its life), or under the public prefix by anyone while `DUMPER_PUBLIC_BLOB_URL` points here. Manifests are never
 * given (P9, nothing that CKAN would refuse).
 */
import { publicPrefix } from '../manifest.ts';
import { keyOf, verifyPath } from '../signed-path.ts';
import { sendBlob } from './blob-response.ts';
import type { ServeDeps } from './context.ts';
import { answerText } from './errors.ts';
import type { ServeContext } from './request-state.ts';

type DirectoryBlobsDeps = Pick<ServeDeps, 'config' | 'store' | 'blobSecret' | 'now' | 'ending'>;

/** A blob that the address may read, and the headers that its signature fixes. */
interface ReadRight {
  readonly key: string;
  readonly cacheControl?: string;
  readonly contentDisposition?: string;
}

export async function answerBlobPath(
  deps: DirectoryBlobsDeps,
  ctx: ServeContext,
  path: string,
  url: string,
): Promise<void> {
  const { config, store } = deps;
  if (ctx.method !== 'GET' && ctx.method !== 'HEAD') {
    ctx.set('Allow', 'GET, HEAD');
    return answerText(ctx, config, 405, 'Method not allowed');
  }
  const right = readRightOf(deps, path, url);
  if (store?.kind !== 'directory' || right === null) {
    return answerText(ctx, config, 403, 'This address is not valid, or not any more');
  }
  const head = await store.head(right.key);
  if (head === null) return answerText(ctx, config, 404, 'This dump is not there any more');
  ctx.set('Cache-Control', right.cacheControl ?? 'public, max-age=0, must-revalidate');
  const blob = {
    key: right.key,
    bytes: head.bytes,
    contentType: head.contentType,
    disposition: right.contentDisposition ?? head.contentDisposition,
    // Keys are written once, so the key names the bytes.
    etag: `"${Buffer.from(right.key).toString('base64url')}"`,
    sha256: null,
    modifiedAt: head.modifiedAt,
  };
  const options = { store, ending: deps.ending, stallSeconds: config.DUMPER_STALL_SECONDS };
  if (!(await sendBlob(ctx, blob, options))) {
    answerText(ctx, config, 404, 'This dump is not there any more');
  }
}

function readRightOf(
  { config, blobSecret, now }: DirectoryBlobsDeps,
  path: string,
  url: string,
): ReadRight | null {
  const key = keyOf(path);
  if (key === null || key.endsWith('/manifest.json')) return null;
  if (key.startsWith(publicPrefix) && config.DUMPER_PUBLIC_BLOB_URL !== undefined) return { key };
  const verified = verifyPath(blobSecret, url, now());
  return verified.kind === 'valid' ? verified : null;
}
