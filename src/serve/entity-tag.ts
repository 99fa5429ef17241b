/** Entity tags of blobs: strong, made of the blob's sha256, the same through every way of delivery (RFC 9110, 8.8.3). */
import type { ManifestBlob } from '../manifest.ts';

export function entityTag(blob: Pick<ManifestBlob, 'sha256'>): string {
  return `"sha256-${blob.sha256}"`;
}

/** RFC 9530: the digest of the whole representation. */
export function reprDigest(blob: Pick<ManifestBlob, 'sha256'>): string {
  return `sha-256=:${Buffer.from(blob.sha256, 'hex').toString('base64')}:`;
}

/** Whether `If-None-Match` names the tag, compared weakly (RFC 9110, section 13.1.2). */
export function isNamed(header: string, tag: string): boolean {
  if (header.trim() === '*') return true;
  const names = header.match(/(?:W\/)?"[^"]*"/g) ?? [];
  return names.some((name) => name.replace(/^W\//, '') === tag);
}
