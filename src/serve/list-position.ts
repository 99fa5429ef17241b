/**
 * Where a list goes on, as an opaque text that only this service can read and make: it may be the place of a table that
 * the reader may not see, and nobody can ask what stands behind the id of such a table (P9, nothing that CKAN would
 * refuse). The same place is the same text on every replica and at every time.
 */
import { createCipheriv, createDecipheriv, createHmac } from 'node:crypto';
import type { ListPosition, PublicationSort } from '../state/publication-list.ts';

const algorithm = 'aes-256-gcm';
const nonceBytes = 12;
const tagBytes = 16;

const keyOf = (secret: string, purpose: string): Buffer =>
  createHmac('sha256', secret).update(`list position ${purpose}`).digest();

export function sealPosition(secret: string, sort: PublicationSort, { key, id }: ListPosition): string {
  const text = JSON.stringify([sort, key, id]);
  // Made from the text, so that a nonce stands for one text alone.
  const nonce = createHmac('sha256', keyOf(secret, 'nonce')).update(text).digest().subarray(0, nonceBytes);
  const cipher = createCipheriv(algorithm, keyOf(secret, 'cipher'), nonce);
  const sealed = Buffer.concat([cipher.update(text, 'utf8'), cipher.final()]);
  return Buffer.concat([nonce, cipher.getAuthTag(), sealed]).toString('base64url');
}

/** Null where it was not sealed here for a list in this order. */
export function openPosition(secret: string, sort: PublicationSort, sealed: string): ListPosition | null {
  const bytes = Buffer.from(sealed.slice(0, 2000), 'base64url');
  if (bytes.length <= nonceBytes + tagBytes) return null;
  const decipher = createDecipheriv(algorithm, keyOf(secret, 'cipher'), bytes.subarray(0, nonceBytes));
  decipher.setAuthTag(bytes.subarray(nonceBytes, nonceBytes + tagBytes));
  try {
    const text = Buffer.concat([decipher.update(bytes.subarray(nonceBytes + tagBytes)), decipher.final()]);
    const [sealedSort, key, id] = JSON.parse(text.toString()) as [PublicationSort, number, string];
    return sealedSort === sort ? { key, id } : null;
  } catch {
    return null;
  }
}
