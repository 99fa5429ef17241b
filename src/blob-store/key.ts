/**
 * What a key may be. Keys are made of resource ids and revisions, but a store trusts no caller: a key never leaves
 * the store's own prefix or directory, whatever it holds (promise P17).
 */
import { DumperError } from '../errors.ts';

/** Segments under which a directory store keeps its own affairs; no key begins with one. */
export const reservedSegments = ['.headers', '.unfinished', '.lock'] as const;

// eslint-disable-next-line no-control-regex -- control characters are what is refused
const forbidden = /[\u0000-\u001f\u007f\\]/;

/** Return the key, or throw `NOT_FOUND` when it could name anything but one object inside the store. */
export function checkedKey(key: string): string {
  const segments = key.split('/');
  const bad =
    segments.some((segment) => segment === '' || segment === '.' || segment === '..') ||
    (reservedSegments as readonly string[]).includes(segments[0] ?? '') ||
    forbidden.test(key) ||
    Buffer.byteLength(key) > 900;
  if (bad) throw new DumperError('NOT_FOUND', 'no such blob');
  return key;
}
