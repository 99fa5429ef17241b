/**
 * The Content-Disposition of a dump (RFC 6266, RFC 8187): CKAN's own form for plain names, both spellings for others.
 *
 * CKAN writes `attachment; filename="<name>.<ext>"`; names with CR, LF, quotes or wide characters are escaped by the
 * library, so that no name can add a header (promise P17).
 */
import { create } from 'content-disposition';

export function contentDisposition(fileName: string): string {
  const clean = fileName.replaceAll(/[\p{Cc}]/gu, ' ').slice(0, 200);
  if (/^[\w.() -]+$/.test(clean)) return `attachment; filename="${clean}"`;
  return create(clean);
}
