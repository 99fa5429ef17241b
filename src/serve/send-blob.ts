/**
 * A blob's bytes through the service: with length, entity tag, digest and ranges (RFC 9110, sections 13 and 14). Used by
 * `DUMPER_DELIVERY=stream`, by `redirect=false` and by the directory store's own route.
 *
 * A body that breaks off resets the socket, so that no client takes the part for the whole (promise P19).
 */
import { pipeline } from 'node:stream/promises';
import type { Context } from 'koa';
import type { BlobStore, ByteRange } from '../blob-store/blob-store.ts';
import { ifRangeHolds, parseRange } from '../byte-range.ts';
import { isNamed } from './entity-tag.ts';
import { clientAbortSignal, resetSocket } from './client-abort.ts';
import { createResponseWriter } from './response-writer.ts';

export interface Sendable {
  readonly key: string;
  readonly bytes: number;
  readonly contentType: string;
  readonly disposition: string;
  readonly etag: string;
  readonly digest: string | null;
  readonly modifiedAt: Date | null;
}

export type Sent =
  | { readonly kind: 'sent'; readonly bytes: number }
  /** The store has no such blob: nothing was answered yet. */
  | { readonly kind: 'missing' }
  | { readonly kind: 'broken'; readonly error: unknown };

export function describeBlob(ctx: Context, blob: Sendable): void {
  ctx.set('Content-Type', blob.contentType);
  ctx.set('Content-Disposition', blob.disposition);
  ctx.set('Accept-Ranges', 'bytes');
  ctx.set('ETag', blob.etag);
  if (blob.digest !== null) ctx.set('Repr-Digest', blob.digest);
  if (blob.modifiedAt !== null) ctx.set('Last-Modified', blob.modifiedAt.toUTCString());
}

/** Answer 304 if the caller has these bytes already. */
export function answerUnchanged(ctx: Context, blob: Pick<Sendable, 'etag'>): boolean {
  const known = ctx.get('If-None-Match');
  if (known === '' || !isNamed(known, blob.etag)) return false;
  ctx.status = 304;
  ctx.set('ETag', blob.etag);
  return true;
}

export interface SendOptions {
  readonly store: BlobStore;
  readonly stallSeconds: number;
  /** Breaks the body off when it aborts. */
  readonly ending: AbortSignal;
}

export async function sendBlob(ctx: Context, blob: Sendable, options: SendOptions): Promise<Sent> {
  if (answerUnchanged(ctx, blob)) return { kind: 'sent', bytes: 0 };
  describeBlob(ctx, blob);
  if (ctx.method === 'HEAD') {
    ctx.status = 200;
    ctx.length = blob.bytes;
    return { kind: 'sent', bytes: 0 };
  }
  const asked = ifRangeHolds(ctx.get('If-Range') || undefined, blob.etag, blob.modifiedAt)
    ? parseRange(ctx.get('Range') || undefined, blob.bytes)
    : ({ kind: 'whole' } as const);
  if (asked.kind === 'unsatisfiable') {
    ctx.status = 416;
    ctx.remove('Content-Disposition');
    ctx.set('Content-Range', `bytes */${blob.bytes}`);
    ctx.type = 'text/plain; charset=utf-8';
    ctx.body = 'The range is beyond the end of the dump\n';
    return { kind: 'sent', bytes: 0 };
  }
  return sendBytes(ctx, blob, options, asked.kind === 'part' ? asked.range : undefined);
}

async function sendBytes(
  ctx: Context,
  blob: Sendable,
  { store, stallSeconds, ending }: SendOptions,
  range: ByteRange | undefined,
): Promise<Sent> {
  const signal = AbortSignal.any([clientAbortSignal(ctx.res), ending]);
  const source = await store.read(blob.key, signal, range);
  if (source === null) return { kind: 'missing' };
  const bytes = range === undefined ? blob.bytes : range.end - range.start + 1;
  ctx.status = range === undefined ? 200 : 206;
  if (range !== undefined) ctx.set('Content-Range', `bytes ${range.start}-${range.end}/${blob.bytes}`);
  ctx.length = bytes;
  ctx.respond = false;
  try {
    const wire = createResponseWriter(ctx.res, stallSeconds);
    await pipeline(
      source,
      async (chunks: AsyncIterable<Uint8Array>) => {
        for await (const chunk of chunks) {
          wire.write(chunk);
          await wire.ready();
        }
      },
      { signal },
    );
    await wire.end();
    return { kind: 'sent', bytes };
  } catch (error) {
    resetSocket(ctx.req);
    return { kind: 'broken', error };
  }
}
