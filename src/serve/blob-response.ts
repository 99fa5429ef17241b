/**
 * A fresh blob is given, in the way that `DUMPER_DELIVERY` or the request asks for: a redirect, the bytes themselves, or
 * a word to nginx where to fetch them.
 *
 * | request | answer |
 * |---|---|
 * | `If-None-Match` names it | 304 |
 * | HEAD | 200 with length, entity tag, digest; never a redirect (a presigned GET refuses HEAD) |
 * | `stream`, or `redirect=false` | 200, 206 or 416 with the bytes |
 * | `x-accel` | `X-Accel-Redirect`; nginx fetches and sends |
 * | `redirect` | 302 |
 *
 * For `x-accel`, a path of the directory store is nginx's own route to this service; any other URL travels in
 * `X-Dump-Blob-Url`, read by the internal location (`docs/fronts`):
 * `location = /_dump_blob { internal; set $blob $upstream_http_x_dump_blob_url; proxy_pass $blob; … }`.
 */
import type { Context } from 'koa';
import type { Manifest, ManifestBlob } from '../manifest.ts';
import { isDumperError, errorMessage } from '../errors.ts';
import { entityTag, reprDigest } from './entity-tag.ts';
import { setCaching } from './errors.ts';
import { redirectHead, redirectText, sign } from './redirect.ts';
import { answerUnchanged, describeBlob, sendBlob, type Sendable } from './send-blob.ts';
import type { ServeDeps } from './context.ts';

export interface FreshBlob {
  readonly manifest: Manifest;
  readonly blob: ManifestBlob;
  readonly public: boolean;
  readonly disposition: string;
  readonly ownDisposition: string;
  /** The caller asked for the bytes through the service. */
  readonly withoutRedirect: boolean;
}

export type Delivered =
  | { readonly kind: 'delivered'; readonly bytes: number }
  /** The store does not have what the manifest names, or cannot be asked: answer live. */
  | { readonly kind: 'missing' }
  | { readonly kind: 'broken'; readonly error: unknown };

const internalLocation = '/_dump_blob';
const done: Delivered = { kind: 'delivered', bytes: 0 };

export async function deliverBlob(deps: ServeDeps, ctx: Context, fresh: FreshBlob): Promise<Delivered> {
  const { config } = deps;
  const delivery = fresh.withoutRedirect ? 'stream' : config.DUMPER_DELIVERY;
  // nginx keeps nothing that is stale at once unless its own header, read first, says so; then it asks at every use.
  if (delivery === 'stream' && fresh.public) ctx.set('X-Accel-Expires', '@1');
  setCaching(ctx, config, fresh.public);
  ctx.set('X-Dump-Source', 'blob');
  ctx.set('X-Dump-Revision', fresh.manifest.revision);
  if (answerUnchanged(ctx, { etag: entityTag(fresh.blob) })) return done;
  if (delivery === 'redirect' && ctx.method !== 'HEAD') {
    ctx.status = 302;
    ctx.body = redirectText;
    ctx.set(await redirectHead(deps, fresh));
    return done;
  }
  const blob = sendableOf(fresh);
  if (ctx.method === 'HEAD') {
    describeBlob(ctx, blob);
    ctx.status = 200;
    ctx.length = blob.bytes;
    return done;
  }
  if (delivery === 'stream') return stream(deps, ctx, blob);
  tellNginx(ctx, blob, await sign(deps, fresh));
  return done;
}

function sendableOf({ manifest, blob, disposition }: FreshBlob): Sendable {
  return {
    key: blob.key,
    bytes: blob.bytes,
    contentType: blob.content_type,
    disposition,
    etag: entityTag(blob),
    digest: reprDigest(blob),
    modifiedAt: new Date(manifest.published_at),
  };
}

/** nginx adds the blob's headers to ours: what both have would stand there twice, so that the blob alone names the file. */
function tellNginx(ctx: Context, blob: Sendable, location: string): void {
  ctx.status = 200;
  ctx.set('Content-Type', blob.contentType);
  if (location.startsWith('/')) ctx.set('X-Accel-Redirect', location);
  else {
    ctx.set('X-Accel-Redirect', internalLocation);
    ctx.set('X-Dump-Blob-Url', location);
  }
  ctx.body = '';
}

/** What only a blob's answer says. */
const ofBlob = [
  'X-Accel-Expires',
  'X-Dump-Revision',
  'Accept-Ranges',
  'ETag',
  'Repr-Digest',
  'Last-Modified',
] as const;

/** A store that cannot be asked before the first byte is no reason to refuse what can be given live (promise P21). */
function withoutStore({ log }: ServeDeps, ctx: Context, error: unknown): { readonly kind: 'missing' } {
  if (ctx.res.headersSent || !isDumperError(error, 'BLOB_STORE_UNAVAILABLE')) throw error;
  log.warn({ reason: errorMessage(error) }, 'a blob cannot be read; answering live');
  return { kind: 'missing' };
}

async function stream(deps: ServeDeps, ctx: Context, blob: Sendable): Promise<Delivered> {
  const { config, store, ending } = deps;
  if (store === null) return { kind: 'missing' };
  const sent = await sendBlob(ctx, blob, { store, ending, stallSeconds: config.DUMPER_STALL_SECONDS }).catch(
    (error: unknown) => withoutStore(deps, ctx, error),
  );
  if (sent.kind === 'missing') for (const name of ofBlob) ctx.remove(name);
  return sent.kind === 'sent' ? { kind: 'delivered', bytes: sent.bytes } : sent;
}
