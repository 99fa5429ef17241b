/**
 * The answer with a fresh blob, in the way that `DUMPER_DELIVERY` or the request asks for: a redirect, the bytes
 * themselves, or a header that tells nginx where to fetch them.
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
 *
 * A URL handed out stays valid for its life (P6), gives nothing that CKAN would refuse (P9), and names only configured
 * origins: nothing of the request is part of it but the table it resolved to (P17, no open redirect). A body that breaks
 * off resets the socket, so that no client takes the part for the whole (P19, breaks are visible).
 */
import { pipeline } from 'node:stream/promises';
import type { BlobStore, ByteRange } from '../blob-store/blob-store.ts';
import type { Config } from '../config/config.ts';
import { errorMessage, isDumperError } from '../errors.ts';
import { createLruCache } from '../lru.ts';
import { publicPrefix } from '../manifest.ts';
import type { ServeDeps } from './context.ts';
import { variesByOrigin } from './cors.ts';
import { cacheControlOf, setCaching, varyHeaders } from './errors.ts';
import type { ServeContext } from './request-state.ts';
import { clientAbortSignal, createResponseWriter, resetSocket } from './response-writer.ts';

/** A published blob, and what the answer to one caller says of it. */
export interface BlobResponse {
  /** In the blob store. */
  readonly key: string;
  readonly bytes: number;
  readonly contentType: string;
  /** The `Content-Disposition` that the caller is to get. */
  readonly disposition: string;
  /** The stored object itself has another `Content-Disposition`. */
  readonly isRenamed: boolean;
  /** In quotes: strong, and the same through every way of delivery (RFC 9110, section 8.8.3). */
  readonly etag: string;
  /** Hex, of the whole blob; null where it is not known. */
  readonly sha256: string | null;
  readonly modifiedAt: Date | null;
  readonly revision: string;
  /** Anonymous users may read the table, as CKAN says now. */
  readonly public: boolean;
  /** The caller asked for the bytes through the service. */
  readonly withoutRedirect: boolean;
}

/** The part of it that a store knows too. */
type StoredBlob = Omit<BlobResponse, 'isRenamed' | 'revision' | 'public' | 'withoutRedirect'>;

export interface BlobResponseDeps extends Pick<ServeDeps, 'config' | 'store' | 'log' | 'ending'> {
  readonly blobUrls: BlobUrls;
}

/** False: the store does not have the blob, or cannot be asked. Nothing was answered yet: answer live. */
export async function respondWithBlob(
  deps: BlobResponseDeps,
  ctx: ServeContext,
  blob: BlobResponse,
): Promise<boolean> {
  const { config, blobUrls } = deps;
  const delivery = blob.withoutRedirect ? 'stream' : config.DUMPER_DELIVERY;
  // nginx keeps nothing that is stale at once unless its own header, read first, says so; then it asks at every use.
  if (delivery === 'stream' && blob.public) ctx.set('X-Accel-Expires', '@1');
  setCaching(ctx, config, blob.public);
  ctx.set('X-Dump-Source', 'blob');
  ctx.set('X-Dump-Revision', blob.revision);
  if (respondUnchanged(ctx, blob) || respondToHead(ctx, blob)) return true;
  if (delivery === 'stream') return streamBlob(deps, ctx, blob);
  if (delivery === 'redirect') {
    ctx.status = 302;
    ctx.body = redirectText;
    ctx.set(await redirectHeaders(deps, blob));
  } else {
    letNginxFetch(ctx, blob, await blobUrls.sign(blob));
  }
  ctx.state.bytes = 0;
  return true;
}

/** nginx adds the blob's headers to ours: what both have would be there twice, so the blob alone names the file. */
function letNginxFetch(ctx: ServeContext, blob: BlobResponse, url: string): void {
  ctx.status = 200;
  ctx.set('Content-Type', blob.contentType);
  if (url.startsWith('/')) ctx.set('X-Accel-Redirect', url);
  else {
    ctx.set('X-Accel-Redirect', '/_dump_blob');
    ctx.set('X-Dump-Blob-Url', url);
  }
  ctx.body = '';
}

// The redirect

/** The body of a redirect, for clients that follow none. */
export const redirectText = 'The dump is at the address in Location\n';

/**
 * The headers of a redirect, without those that every answer has. No entity tag: a cache could renew a stored redirect by
 * it (304) after the URL has ended.
 */
export async function redirectHeaders(
  { config, blobUrls }: Pick<BlobResponseDeps, 'config' | 'blobUrls'>,
  blob: BlobResponse,
): Promise<Readonly<Record<string, string>>> {
  const { url, isSigned } = await blobUrls.locate(blob);
  return {
    'Cache-Control': cacheControlOf(blob.public && !isSigned),
    Vary: variesByOrigin(config) ? `Origin, ${varyHeaders(config)}` : varyHeaders(config),
    'X-Dump-Source': 'blob',
    'X-Dump-Revision': blob.revision,
    Location: url,
    'Content-Type': 'text/plain; charset=utf-8',
    // Without a length Node would send it in chunks.
    'Content-Length': String(Buffer.byteLength(redirectText)),
  };
}

/** The addresses under which clients fetch blobs. */
interface BlobUrls {
  /** A public URL where anonymous users may read the table and its blobs are under the public prefix; else a signed one. */
  locate(blob: BlobResponse): Promise<{
    readonly url: string;
    /** Whoever holds the URL may read the blob until its life ends: no cache may keep an answer that names it. */
    readonly isSigned: boolean;
  }>;
  /**
   * A URL of short life. Its answer says that no cache may use it unasked, so that none outlives the signature, or, sent
   * by nginx under the dump's own address, the table's present state.
   */
  sign(blob: BlobResponse): Promise<string>;
}

export function createBlobUrls({ config, store }: Pick<ServeDeps, 'config' | 'store'>): BlobUrls {
  const signUrl = store && reuseSignatures((key, options) => store.signedUrl(key, options));
  const sign = async (blob: BlobResponse): Promise<string> => {
    if (signUrl === null) throw new TypeError('a blob without a store');
    return signUrl(blob.key, {
      lifeSeconds: config.DUMPER_URL_LIFE_SECONDS,
      cacheControl: cacheControlOf(blob.public),
      ...(blob.isRenamed ? { contentDisposition: blob.disposition } : {}),
    });
  };
  return {
    sign,
    locate: async (blob) => {
      const url = publicUrlOf(config, blob);
      return url === null ? { url: await sign(blob), isSigned: true } : { url, isSigned: false };
    },
  };
}

function publicUrlOf({ DUMPER_PUBLIC_BLOB_URL: base }: Config, blob: BlobResponse): string | null {
  if (base === undefined || !blob.public || blob.isRenamed || !blob.key.startsWith(publicPrefix)) return null;
  return `${base}/${blob.key.split('/').map(encodeURIComponent).join('/')}`;
}

type SignUrl = BlobStore['signedUrl'];

const signaturesKept = 1000;
const reusedMilliseconds = 1000;

/** Requests for the same within a second, or a hundredth of the URL's life, get one URL: it ends that much earlier. */
export function reuseSignatures(signUrl: SignUrl, now: () => number = Date.now): SignUrl {
  const recent = createLruCache<{ readonly url: Promise<string>; readonly until: number }>(signaturesKept);
  return (key, options) => {
    const { lifeSeconds, cacheControl = '', contentDisposition = '' } = options;
    const cacheKey = `${lifeSeconds}\n${cacheControl}\n${contentDisposition}\n${key}`;
    const known = recent.get(cacheKey);
    const requestedAt = now();
    if (known !== undefined && requestedAt < known.until) return known.url;
    const url = signUrl(key, options);
    recent.set(cacheKey, { url, until: requestedAt + Math.min(reusedMilliseconds, lifeSeconds * 10) });
    url.catch(() => recent.delete(cacheKey));
    return url;
  };
}

// The bytes through the service: with length, entity tag, digest and ranges (RFC 9110, sections 13 and 14)

/** The headers that only an answer with a blob has. */
const blobHeaders = [
  'X-Accel-Expires',
  'X-Dump-Revision',
  'Accept-Ranges',
  'ETag',
  'Repr-Digest',
  'Last-Modified',
] as const;

/** A store that cannot be asked before the first byte is no reason to refuse what a live answer can give (P21, one part down). */
async function streamBlob(deps: BlobResponseDeps, ctx: ServeContext, blob: BlobResponse): Promise<boolean> {
  const { config, store, ending, log } = deps;
  if (store === null) return false;
  const options = { store, ending, stallSeconds: config.DUMPER_STALL_SECONDS };
  const isSent = await sendBlob(ctx, blob, options).catch((error: unknown) => {
    if (ctx.res.headersSent || !isDumperError(error, 'BLOB_STORE_UNAVAILABLE')) throw error;
    log.warn({ reason: errorMessage(error) }, 'a blob cannot be read; answering live');
    return false;
  });
  if (!isSent) for (const name of blobHeaders) ctx.remove(name);
  return isSent;
}

interface SendOptions {
  readonly store: BlobStore;
  readonly stallSeconds: number;
  /** Breaks the body off when it aborts. */
  readonly ending: AbortSignal;
}

/** False: the store has no such blob, and nothing was answered yet. */
export async function sendBlob(ctx: ServeContext, blob: StoredBlob, options: SendOptions): Promise<boolean> {
  if (respondUnchanged(ctx, blob) || respondToHead(ctx, blob)) return true;
  setBlobHeaders(ctx, blob);
  const requested = ifRangeHolds(ctx.get('If-Range') || undefined, blob.etag, blob.modifiedAt)
    ? parseRange(ctx.get('Range') || undefined, blob.bytes)
    : wholeBlob;
  if (requested.kind === 'unsatisfiable') {
    ctx.status = 416;
    ctx.remove('Content-Disposition');
    ctx.set('Content-Range', `bytes */${blob.bytes}`);
    ctx.type = 'text/plain; charset=utf-8';
    ctx.body = 'The range is beyond the end of the dump\n';
    ctx.state.bytes = 0;
    return true;
  }
  return sendBytes(ctx, blob, options, requested.kind === 'part' ? requested.range : undefined);
}

function setBlobHeaders(ctx: ServeContext, blob: StoredBlob): void {
  ctx.set('Content-Type', blob.contentType);
  ctx.set('Content-Disposition', blob.disposition);
  ctx.set('Accept-Ranges', 'bytes');
  ctx.set('ETag', blob.etag);
  if (blob.sha256 !== null) ctx.set('Repr-Digest', reprDigest(blob.sha256));
  if (blob.modifiedAt !== null) ctx.set('Last-Modified', blob.modifiedAt.toUTCString());
}

/** 304 if the client has these bytes already. */
function respondUnchanged(ctx: ServeContext, { etag }: StoredBlob): boolean {
  const known = ctx.get('If-None-Match');
  if (known === '' || !namesEntityTag(known, etag)) return false;
  ctx.status = 304;
  ctx.set('ETag', etag);
  ctx.state.bytes = 0;
  return true;
}

function respondToHead(ctx: ServeContext, blob: StoredBlob): boolean {
  if (ctx.method !== 'HEAD') return false;
  setBlobHeaders(ctx, blob);
  ctx.status = 200;
  ctx.length = blob.bytes;
  ctx.state.bytes = 0;
  return true;
}

async function sendBytes(
  ctx: ServeContext,
  blob: StoredBlob,
  { store, stallSeconds, ending }: SendOptions,
  range: ByteRange | undefined,
): Promise<boolean> {
  const signal = AbortSignal.any([clientAbortSignal(ctx.res), ending]);
  const source = await store.read(blob.key, signal, range);
  if (source === null) return false;
  const bytes = range === undefined ? blob.bytes : range.end - range.start + 1;
  ctx.status = range === undefined ? 200 : 206;
  if (range !== undefined) ctx.set('Content-Range', `bytes ${range.start}-${range.end}/${blob.bytes}`);
  ctx.length = bytes;
  ctx.respond = false;
  try {
    const writer = createResponseWriter(ctx.res, stallSeconds);
    await pipeline(
      source,
      async (chunks: AsyncIterable<Uint8Array>) => {
        for await (const chunk of chunks) {
          writer.write(chunk);
          await writer.ready();
        }
      },
      { signal },
    );
    await writer.end();
    ctx.state.bytes = bytes;
  } catch {
    resetSocket(ctx.req);
    ctx.state.broken = 'store';
  }
  return true;
}

/** RFC 9530: the digest of the whole representation. */
function reprDigest(sha256: string): string {
  return `sha-256=:${Buffer.from(sha256, 'hex').toString('base64')}:`;
}

/** Whether `If-None-Match` names the tag, compared weakly (RFC 9110, section 13.1.2). */
function namesEntityTag(header: string, etag: string): boolean {
  if (header.trim() === '*') return true;
  const names = header.match(/(?:W\/)?"[^"]*"/g) ?? [];
  return names.some((name) => name.replace(/^W\//, '') === etag);
}

type RequestedRange =
  | { readonly kind: 'whole' }
  | { readonly kind: 'part'; readonly range: ByteRange }
  /** Answer 416 with `Content-Range` naming the length only. */
  | { readonly kind: 'unsatisfiable' };

const wholeBlob: RequestedRange = { kind: 'whole' };
const singleRange = /^bytes=\s*(?:(\d+)\s*)?-\s*(?:(\d+)\s*)?$/i;

/**
 * Read a `Range` header against a representation of `bytes` bytes. What is malformed, of another unit, or asks for
 * several ranges is answered whole, which RFC 9110, section 14.2 allows.
 */
export function parseRange(header: string | undefined, bytes: number): RequestedRange {
  const match = singleRange.exec(header ?? '');
  if (match === null) return wholeBlob;
  const [, first = '', last = ''] = match;
  if (first === '' && last === '') return wholeBlob;
  if (first === '') return suffixRange(Number(last), bytes);
  const [start, end] = [Number(first), last === '' ? bytes - 1 : Number(last)];
  if (last !== '' && end < start) return wholeBlob;
  if (start >= bytes) return { kind: 'unsatisfiable' };
  return { kind: 'part', range: { start, end: Math.min(end, bytes - 1) } };
}

function suffixRange(length: number, bytes: number): RequestedRange {
  if (length === 0 || bytes === 0) return { kind: 'unsatisfiable' };
  return { kind: 'part', range: { start: Math.max(0, bytes - length), end: bytes - 1 } };
}

/**
 * Whether `If-Range` lets the `Range` count: absent, the same strong entity tag, or exactly the date of the last
 * change (RFC 9110, section 13.1.5). A weak tag never does.
 */
export function ifRangeHolds(header: string | undefined, etag: string, modifiedAt: Date | null): boolean {
  if (header === undefined) return true;
  const text = header.trim();
  if (text.startsWith('"') || text.startsWith('W/')) return text === etag && !etag.startsWith('W/');
  if (modifiedAt === null) return false;
  return Date.parse(text) === Math.floor(modifiedAt.getTime() / 1000) * 1000;
}
