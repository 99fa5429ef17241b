/**
 * The parameters of a dump, by CKAN's own validation, defaults and messages (`dump_schema` of CKAN 2.11 and 2.12; one
 * rule set, the versions differ only later, in what filters mean).
 *
 * Unknown parameters are ignored. All faults are reported together, one line for each parameter, as CKAN does.
 */
import { ckanFormats, formats, hasBomTwin, type Format } from '../../format.ts';
import { isPythonObject, parsePythonJson, type PythonJson, type PythonObject } from '../../python-json.ts';
import { parseInteger, strip, trimmed } from './python-text.ts';
import type { Question, Refusal } from './question.ts';

/** The largest row number that is counted: beyond it an offset skips every table, a limit cuts none. */
const endOfRows = BigInt(Number.MAX_SAFE_INTEGER);
const largestBigint = 2n ** 63n - 1n;

/** Read a raw query string (no `?`), or say what CKAN would refuse, or fail on. */
export function parseQuestion(query: string): Question | Refusal {
  const values = parseQueryString(query);
  const faults: string[] = [];
  const filters = parseFilters(values.get('filters'), faults);
  const format = parseFormat(values.get('format'), faults);
  const question: Question = {
    kind: 'question',
    filters,
    format,
    limit: parseLimit(values.get('limit'), faults),
    offset: parseOffset(values.get('offset'), faults),
    // CKAN refuses no format for it either: where no such twin exists it says nothing.
    bom: hasBomTwin(format) && isTrue(values.get('bom'), false),
    q: parseSearch(values.get('q')),
    plain: isTrue(values.get('plain'), true),
    language: values.get('language') || undefined,
    distinct: isTrue(values.get('distinct'), false),
    fields: parseFields(values.get('fields')),
    sort: values.get('sort') || '_id',
    latest: isTrue(values.get('latest'), false),
    redirect: isTrue(values.get('redirect') || undefined, true),
  };
  return faults.length === 0 ? question : { kind: 'refused', status: 400, message: faults.join('\n') };
}

/** CKAN's `boolean_validator`: five words in any case are true, any other text is false. */
function isTrue(text: string | undefined, missing: boolean): boolean {
  return text === undefined ? missing : ['true', 'yes', 't', 'y', '1'].includes(text.toLowerCase());
}

/** Whoever asks for an unknown format is told CKAN's own, in CKAN's words. */
function parseFormat(text: string | undefined, faults: string[]): Format {
  const format = formats.find((known) => known === (text || 'csv'));
  if (format === undefined) {
    faults.push(`format: Value must be one of (${ckanFormats.map((known) => `'${known}'`).join(', ')})`);
  }
  return format ?? 'csv';
}

/** Null: none given. A JSON string is parsed once more, as CKAN's search validates the same value again. */
function parseFilters(text: string | undefined, faults: string[]): PythonJson {
  if (text === undefined) return null;
  const once = parsePythonJson(text);
  const filters = typeof once === 'string' ? parsePythonJson(once) : once;
  if (filters === undefined) faults.push('filters: Cannot parse JSON');
  return filters ?? null;
}

/** An object asks per column; any other text, JSON or not, is what to look for. Empty: nothing asked. */
function parseSearch(text: string | undefined): string | PythonObject | undefined {
  if (text === undefined || text === '') return undefined;
  const parsed = parsePythonJson(text);
  if (!isPythonObject(parsed)) return text;
  return parsed.size === 0 ? undefined : parsed;
}

function parseLimit(text: string | undefined, faults: string[]): number | undefined {
  const limit = parseNumber('limit', text, faults);
  return limit === undefined || limit > endOfRows ? undefined : Number(limit);
}

function parseOffset(text: string | undefined, faults: string[]): number {
  const offset = parseNumber('offset', text, faults) ?? 0n;
  if (offset > largestBigint) return Infinity;
  return Number(offset > endOfRows ? endOfRows : offset);
}

function parseNumber(
  name: 'limit' | 'offset',
  text: string | undefined,
  faults: string[],
): bigint | undefined {
  if (text === undefined || strip(text) === '') return undefined;
  const number = parseInteger(text);
  if (number === null) faults.push(`${name}: Invalid integer`);
  return number ?? undefined;
}

/** Commas always split; white space and double quotes around a name are removed. Empty: a list of none. */
function parseFields(text: string | undefined): readonly string[] | undefined {
  if (text === undefined) return undefined;
  return text === '' ? [] : text.split(',').map((name) => unquote(strip(name)));
}

function unquote(name: string): string {
  return name.startsWith('"') && name.endsWith('"') ? trimmed(name, (character) => character === '"') : name;
}

/**
 * The query string as CKAN's web framework reads it: `&` alone separates, `+` is a space, broken escapes stay as they
 * are, bytes that are not UTF-8 become U+FFFD, a fragment is dropped, and of a repeated parameter the first counts
 * (Werkzeug 2 and 3). `query` has no `?`, and is as it stood in the request target.
 */
export function parseQueryString(query: string): ReadonlyMap<string, string> {
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
  if (unencoded.test(text)) return text;
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

const unencoded = /^[\x20-$&-*,-~]*$/;
const utf8 = new TextDecoder('utf-8', { ignoreBOM: true });
