/**
 * The element names of a dump's XML. CKAN 2.11 writes column names raw, 2.12 cleans and numbers them; both can yield
 * what is no XML. A name that is well-formed stays as CKAN has it; any other is repaired, so that every answer parses.
 *
 * Facts from recorded answers of CKAN 2.11.6 and 2.12.0; XML 1.0 (5th edition) productions 4 and 4a, Namespaces in
 * XML 1.0 production 7 (no colon but behind a bound prefix).
 */
import type { CkanProfile } from '../../ckan/profile.ts';
import { escapeAttribute } from './xml-text.ts';

const nameStart =
  'A-Z_a-z\\u{C0}-\\u{D6}\\u{D8}-\\u{F6}\\u{F8}-\\u{2FF}\\u{370}-\\u{37D}\\u{37F}-\\u{1FFF}\\u{200C}\\u{200D}' +
  '\\u{2070}-\\u{218F}\\u{2C00}-\\u{2FEF}\\u{3001}-\\u{D7FF}\\u{F900}-\\u{FDCF}\\u{FDF0}-\\u{FFFD}\\u{10000}-\\u{EFFFF}';
const nameRest = `${nameStart}\\-.0-9\\u{B7}\\u{300}-\\u{36F}\\u{203F}\\u{2040}`;
const unprefixed = new RegExp(`^[${nameStart}][${nameRest}]*$`, 'u');
const withColons = new RegExp(`^[:${nameStart}][:${nameRest}]*$`, 'u');
const notInNames = new RegExp(`[^${nameRest}]`, 'gu');
const notAtStart = new RegExp(`^[^${nameStart}]+`, 'u');

export interface XmlNames {
  /** Element names of the columns, in their order. */
  readonly elements: readonly string[];
  /** Declarations of the prefixes used, as attributes of each row, a space before each. */
  readonly declarations: string;
}

/** Whether `_id` is an attribute of each row instead of an element. */
export function hasIdAttribute(columns: readonly { readonly name: string }[]): boolean {
  return columns[0]?.name === '_id';
}

/** The elements of these columns; `_id` as an attribute is not among them. */
export function xmlNames(columns: readonly string[], profile: CkanProfile): XmlNames {
  const prefixes = new Map<string, string>();
  const names =
    profile.xmlNames === 'clean'
      ? cleanNames(columns)
      : new Map(columns.map((column) => [column, rawName(column, prefixes)]));
  const used = new Set([...names.values()].filter((name) => isWellFormed(name, prefixes)));
  for (const [column, name] of names) {
    if (!used.has(name)) names.set(column, unused(repaired(clean(column)), used));
  }
  return {
    elements: columns.map((column) => names.get(column) ?? '_'),
    declarations: [...prefixes]
      .toSorted(([, one], [, other]) => (one < other ? -1 : 1))
      .map(([uri, prefix]) => ` xmlns:${prefix}="${escapeAttribute(uri)}"`)
      .join(''),
  };
}

/** `{uri}local` is how Python's ElementTree, which CKAN writes with, spells a name with a namespace. */
const qualified = /^\{(.*)\}([^}]*)$/s;
/** ElementTree's own prefixes (Python 3, `xml/etree/ElementTree.py`); any other is `ns` and a number. */
const knownPrefixes: ReadonlyMap<string, string> = new Map([
  ['http://www.w3.org/XML/1998/namespace', 'xml'],
  ['http://www.w3.org/1999/xhtml', 'html'],
  ['http://www.w3.org/1999/02/22-rdf-syntax-ns#', 'rdf'],
  ['http://schemas.xmlsoap.org/wsdl/', 'wsdl'],
  ['http://www.w3.org/2001/XMLSchema', 'xs'],
  ['http://www.w3.org/2001/XMLSchema-instance', 'xsi'],
  ['http://purl.org/dc/elements/1.1/', 'dc'],
]);

/** The name as 2.11 writes it; remembers the prefix of a namespace that it uses. */
function rawName(column: string, prefixes: Map<string, string>): string {
  const [, uri, local = ''] = qualified.exec(column) ?? [];
  if (uri === undefined || !unprefixed.test(local)) return column;
  const prefix = prefixes.get(uri) ?? knownPrefixes.get(uri) ?? `ns${prefixes.size}`;
  if (prefix !== 'xml') prefixes.set(uri, prefix);
  return `${prefix}:${local}`;
}

/**
 * A prefix that ElementTree declares, or a name that XML 1.0 allows: CKAN 2.11 writes a column `a:b` as it is, although
 * nothing binds `a`, and readers that know no namespaces take it.
 */
function isWellFormed(name: string, prefixes: ReadonlyMap<string, string>): boolean {
  const [prefix, local, ...more] = name.split(':');
  if (local === undefined) return unprefixed.test(name);
  const bound = prefix === 'xsi' || prefix === 'xml' || [...prefixes.values()].includes(prefix ?? '');
  return bound ? more.length === 0 && unprefixed.test(local) : withColons.test(name);
}

/** As CKAN 2.12 does: by column, a repeated name numbered; a column asked for twice is named anew. */
function cleanNames(columns: readonly string[]): Map<string, string> {
  const names = new Map<string, string>();
  const used = new Set<string>();
  for (const column of columns) {
    const name = firstFree(clean(column), used);
    used.delete(names.get(column) ?? name);
    used.add(name);
    names.set(column, name);
  }
  return names;
}

// oxlint-disable-next-line no-control-regex -- what Python's `\s` matches: JavaScript's knows other controls, and U+FEFF
const pythonSpace = /[\t-\r\u001c- \u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+/gu;

/** Leading digits and `xml` go, white space becomes `_`, what no word holds goes, the start is no digit, `.` or `-`. */
function clean(column: string): string {
  return column
    .normalize('NFC')
    .replace(/^(?:\p{Nd}*xml\p{Nd}*|\p{Nd}+)/iu, '')
    .replaceAll(pythonSpace, '_')
    .replaceAll(/[^\p{L}\p{N}_.-]/gu, '')
    .replace(/^[\p{Nd}.-]+/u, '');
}

function repaired(name: string): string {
  return name.replaceAll(notInNames, '').replace(notAtStart, '') || '_';
}

function firstFree(name: string, used: ReadonlySet<string>): string {
  if (!used.has(name)) return name;
  let number = 0;
  while (used.has(`${name}_${number}`)) number += 1;
  return `${name}_${number}`;
}

function unused(name: string, used: Set<string>): string {
  const free = firstFree(name, used);
  used.add(free);
  return free;
}
