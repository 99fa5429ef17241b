/**
 * The query string as CKAN's web framework reads it: `&` alone separates, `+` is a space, broken escapes stay as they
 * are, bytes that are not UTF-8 become U+FFFD, a fragment is dropped, and of a repeated parameter the first counts
 * (Werkzeug 2 and 3).
 */

/** `query` without its `?`, as it stood in the request target. */
export function firstValues(query: string): ReadonlyMap<string, string> {
  const values = new Map<string, string>();
  for (const pair of query.replace(/#.*/s, '').split('&')) {
    if (pair === '') continue;
    const at = pair.indexOf('=');
    const name = decode(at < 0 ? pair : pair.slice(0, at));
    if (!values.has(name)) values.set(name, at < 0 ? '' : decode(pair.slice(at + 1)));
  }
  return values;
}

function decode(text: string): string {
  if (plain.test(text)) return text;
  const spaced = text.replaceAll('+', ' ');
  // Node gives the bytes of a request target as Latin-1 characters.
  const bytes: number[] = [];
  for (let at = 0; at < spaced.length; at += 1) {
    const escape = /^%[0-9a-fA-F]{2}/.exec(spaced.slice(at, at + 3))?.[0];
    bytes.push(escape === undefined ? spaced.charCodeAt(at) & 0xff : Number.parseInt(escape.slice(1), 16));
    if (escape !== undefined) at += 2;
  }
  return utf8.decode(Uint8Array.from(bytes));
}

const plain = /^[\x20-$&-*,-~]*$/;
const utf8 = new TextDecoder('utf-8', { ignoreBOM: true });
