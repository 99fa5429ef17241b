/**
 * Which bytes of a blob a request wants (RFC 9110, sections 13.1.5, 14.1.2 and 14.2). Part of answering a dump that
 * goes through the service itself.
 */
import type { ByteRange } from './blob-store/blob-store.ts';

export type RequestedRange =
  | { readonly kind: 'whole' }
  | { readonly kind: 'part'; readonly range: ByteRange }
  /** Answer 416 with `Content-Range` naming the length only. */
  | { readonly kind: 'unsatisfiable' };

const whole: RequestedRange = { kind: 'whole' };
const one = /^bytes=\s*(?:(\d+)\s*)?-\s*(?:(\d+)\s*)?$/i;

/**
 * Read a `Range` header against a representation of `bytes` bytes. What is malformed, of another unit, or asks for
 * several ranges is answered whole, which section 14.2 allows.
 */
export function parseRange(header: string | undefined, bytes: number): RequestedRange {
  const match = one.exec(header ?? '');
  if (match === null) return whole;
  const [, first = '', last = ''] = match;
  if (first === '' && last === '') return whole;
  if (first === '') return suffix(Number(last), bytes);
  const [start, end] = [Number(first), last === '' ? bytes - 1 : Number(last)];
  if (last !== '' && end < start) return whole;
  if (start >= bytes) return { kind: 'unsatisfiable' };
  return { kind: 'part', range: { start, end: Math.min(end, bytes - 1) } };
}

function suffix(length: number, bytes: number): RequestedRange {
  if (length === 0 || bytes === 0) return { kind: 'unsatisfiable' };
  return { kind: 'part', range: { start: Math.max(0, bytes - length), end: bytes - 1 } };
}

/**
 * Whether `If-Range` lets the `Range` count: absent, the same strong entity tag, or exactly the date of the last
 * change (section 13.1.5). A weak tag never does.
 */
export function ifRangeHolds(header: string | undefined, etag: string, modifiedAt: Date | null): boolean {
  if (header === undefined) return true;
  const text = header.trim();
  if (text.startsWith('"') || text.startsWith('W/')) return text === etag && !etag.startsWith('W/');
  if (modifiedAt === null) return false;
  return Date.parse(text) === Math.floor(modifiedAt.getTime() / 1000) * 1000;
}
