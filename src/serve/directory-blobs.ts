/**
 * `GET, HEAD /blobs/<key>`: the directory store's blobs, by a signed path, or under the public prefix by anyone while
 * `DUMPER_PUBLIC_BLOB_URL` points here (promises P6, P9). Manifests are never given.
 */
import type { Context } from 'koa';
import { publicPrefix } from '../manifest.ts';
import { keyOf, verifyPath } from '../signed-path.ts';
import { sendBlob } from './send-blob.ts';
import { answerPlain } from './errors.ts';
import type { ServeDeps } from './context.ts';

interface Right {
  readonly key: string;
  readonly cacheControl?: string;
  readonly contentDisposition?: string;
}

export async function answerBlobPath(
  deps: ServeDeps,
  ctx: Context,
  path: string,
  url: string,
): Promise<void> {
  const { config, store } = deps;
  if (ctx.method !== 'GET' && ctx.method !== 'HEAD') {
    ctx.set('Allow', 'GET, HEAD');
    return answerPlain(ctx, config, 405, 'Method not allowed');
  }
  const right = await rightTo(deps, path, url);
  if (store?.kind !== 'directory' || right === null) {
    return answerPlain(ctx, config, 403, 'This address is not valid, or not any more');
  }
  const head = await store.head(right.key);
  if (head === null) return answerPlain(ctx, config, 404, 'This dump is not there any more');
  ctx.set('Cache-Control', right.cacheControl ?? 'public, max-age=0, must-revalidate');
  const blob = {
    key: right.key,
    bytes: head.bytes,
    contentType: head.contentType,
    disposition: right.contentDisposition ?? head.contentDisposition,
    // Keys are written once, so the key names the bytes.
    etag: `"${Buffer.from(right.key).toString('base64url')}"`,
    digest: null,
    modifiedAt: head.modifiedAt,
  };
  const sent = await sendBlob(ctx, blob, {
    store,
    ending: deps.ending,
    stallSeconds: config.DUMPER_STALL_SECONDS,
  });
  if (sent.kind === 'missing') answerPlain(ctx, config, 404, 'This dump is not there any more');
  else if (sent.kind === 'broken') ctx.state['broken'] = 'store';
  else ctx.state['bytes'] = sent.bytes;
}

async function rightTo(deps: ServeDeps, path: string, url: string): Promise<Right | null> {
  const key = keyOf(path);
  if (key === null || key.endsWith('/manifest.json')) return null;
  if (key.startsWith(publicPrefix) && deps.config.DUMPER_PUBLIC_BLOB_URL !== undefined) return { key };
  if (deps.store?.kind !== 'directory') return null;
  const verdict = verifyPath(await deps.blobSecret(), url, deps.now());
  return verdict.kind === 'valid' ? verdict : null;
}
