/**
 * Signed, expiring paths of a directory store: what a presigned URL is for S3. Anyone who has one may read that blob
 * with those headers until it expires, and nothing else (promises P6 and P9: a URL lives its whole time, access only as
 * CKAN grants it).
 *
 * `/blobs/<key>?expires=<unix seconds>[&cache=…][&disposition=…]&signature=<base64url HMAC-SHA256>`. The signature covers
 * a version word, the key and every other parameter, length-prefixed, so that no two requests have the same signature.
 */
import { createHmac, timingSafeEqual } from 'node:crypto';

export const blobsRoute = '/blobs/';

export interface SignedAnswer {
  /** Key of the blob, relative to the store. */
  readonly key: string;
  /** `Cache-Control` of the answer, in place of the blob's own. */
  readonly cacheControl?: string;
  /** `Content-Disposition` of the answer, in place of the blob's own. */
  readonly contentDisposition?: string;
}

type SignedPathResult =
  | ({ readonly kind: 'valid'; readonly expiresAt: Date } & SignedAnswer)
  | { readonly kind: 'expired' }
  | { readonly kind: 'forged' };

/** The path that gives `answer` until `expiresAt` (whole seconds, rounded up). */
export function signPath(secret: string, answer: SignedAnswer, expiresAt: Date): string {
  const expires = String(Math.ceil(expiresAt.getTime() / 1000));
  const query = new URLSearchParams({ expires });
  if (answer.cacheControl !== undefined) query.set('cache', answer.cacheControl);
  if (answer.contentDisposition !== undefined) query.set('disposition', answer.contentDisposition);
  query.set('signature', signatureOf(secret, answer, expires).toString('base64url'));
  return `${blobsRoute}${answer.key.split('/').map(encodeURIComponent).join('/')}?${query}`;
}

/** Verify the target of a request, `/blobs/…?…` exactly as the request line has it. */
export function verifyPath(secret: string, target: string, now: Date): SignedPathResult {
  const forged = { kind: 'forged' } as const;
  const mark = target.indexOf('?');
  const key = keyOf(mark === -1 ? target : target.slice(0, mark));
  if (key === null || mark === -1) return forged;
  const query = new URLSearchParams(target.slice(mark + 1));
  const expires = query.get('expires') ?? '';
  const cacheControl = query.get('cache');
  const contentDisposition = query.get('disposition');
  const answer: SignedAnswer = {
    key,
    ...(cacheControl === null ? {} : { cacheControl }),
    ...(contentDisposition === null ? {} : { contentDisposition }),
  };
  const given = Buffer.from(query.get('signature') ?? '', 'base64url');
  const right = signatureOf(secret, answer, expires);
  if (given.length !== right.length || !timingSafeEqual(given, right)) return forged;
  const expiresAt = new Date(Number(expires) * 1000);
  return expiresAt > now ? { kind: 'valid', expiresAt, ...answer } : { kind: 'expired' };
}

/** The decoded key of a path under `/blobs/`; null for any other path. */
export function keyOf(pathname: string): string | null {
  if (!pathname.startsWith(blobsRoute)) return null;
  try {
    return pathname.slice(blobsRoute.length).split('/').map(decodeURIComponent).join('/');
  } catch {
    return null;
  }
}

function signatureOf(secret: string, answer: SignedAnswer, expires: string): Buffer {
  const hmac = createHmac('sha256', secret);
  const parts = [
    'dumper-path-1',
    answer.key,
    expires,
    answer.cacheControl ?? null,
    answer.contentDisposition ?? null,
  ];
  for (const part of parts) hmac.update(part === null ? '-;' : `${Buffer.byteLength(part)}:${part};`);
  return hmac.digest();
}
