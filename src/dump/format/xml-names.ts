/**
 * The element names of a dump's XML. CKAN 2.11 writes column names raw, 2.12 cleans and numbers them; both can yield
 * what is no XML. A name that is well-formed stays as CKAN has it; any other is repaired, so that every answer parses.
 *
 * Facts from recorded answers of CKAN 2.11.6 and 2.12.0; XML 1.0 (5th edition) productions 4 and 4a, Namespaces in
 * XML 1.0 production 7 (no colon but behind a bound prefix).
 */
import type { CkanProfile } from '../../ckan-profile.ts';

const nameStart =
  'A-Z_a-z\\u{C0}-\\u{D6}\\u{D8}-\\u{F6}\\u{F8}-\\u{2FF}\\u{370}-\\u{37D}\\u{37F}-\\u{1FFF}\\u{200C}\\u{200D}' +
  '\\u{2070}-\\u{218F}\\u{2C00}-\\u{2FEF}\\u{3001}-\\u{D7FF}\\u{F900}-\\u{FDCF}\\u{FDF0}-\\u{FFFD}\\u{10000}-\\u{EFFFF}';
const nameRest = `${nameStart}\\-.0-9\\u{B7}\\u{300}-\\u{36F}\\u{203F}\\u{2040}`;
/** The one prefix that the document binds, beside `xml` itself. */
const wellFormed = new RegExp(`^(?:(?:xsi|xml):)?[${nameStart}][${nameRest}]*$`, 'u');
const notInNames = new RegExp(`[^${nameRest}]`, 'gu');
const notAtStart = new RegExp(`^[^${nameStart}]+`, 'u');

/** Element names of the columns, in their order; `_id` as an attribute is not among them. */
export function xmlNames(columns: readonly string[], profile: CkanProfile): string[] {
  const names =
    profile.xmlNames === 'clean' ? cleanNames(columns) : new Map(columns.map((name) => [name, name]));
  const used = new Set([...names.values()].filter((name) => wellFormed.test(name)));
  for (const [column, name] of names) {
    if (!wellFormed.test(name)) names.set(column, unused(repaired(clean(column)), used));
  }
  return columns.map((column) => names.get(column) ?? '_');
}

/** As CKAN 2.12 does: by column, a repeated name numbered; a column asked for twice is named anew. */
function cleanNames(columns: readonly string[]): Map<string, string> {
  const names = new Map<string, string>();
  for (const column of columns) names.set(column, firstFree(clean(column), new Set(names.values())));
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
