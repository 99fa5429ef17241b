/**
 * The Content-Disposition of a dump (RFC 6266, RFC 8187): CKAN's own form for plain names, both spellings for others.
 *
 * CKAN writes `attachment; filename="<name>.<ext>"`. The library escapes names with CR, LF, quotes or wide characters, so
 * that no name can add a header (promise P17, no injection).
 */
import { create } from 'content-disposition';

const longestName = 200;

export function contentDisposition(fileName: string): string {
  const clean = shorten(fileName.replaceAll(/[\p{Cc}]/gu, ' ')).toWellFormed();
  if (/^[\w.() -]+$/.test(clean)) return `attachment; filename="${clean}"`;
  return create(clean);
}

/** A name that is too long is cut before its extension. */
function shorten(name: string): string {
  if (name.length <= longestName) return name;
  const extension = /\.\w{1,8}$/.exec(name)?.[0] ?? '';
  return name.slice(0, longestName - extension.length) + extension;
}
