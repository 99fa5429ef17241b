/**
 * A dump is asked for: the parameters, by CKAN's own validation, defaults and messages (`dump_schema` of CKAN 2.11 and
 * 2.12; one rule set, the versions differ only later, in what filters mean).
 *
 * Unknown parameters are ignored. What is wrong is reported together, a line a parameter, as CKAN does.
 */
import { ckanFormats, formats, hasBomTwin, type Format } from '../../format.ts';
import { isPythonObject, parsePythonJson, type PythonJson, type PythonObject } from '../../python-json.ts';
import type { Question, Refusal } from '../question.ts';
import { parseInteger, strip, trimmed } from './python-text.ts';
import { firstValues } from './query-string.ts';

/** The largest row number that is counted: beyond it an offset skips every table, a limit cuts none. */
const endOfRows = BigInt(Number.MAX_SAFE_INTEGER);
const largestBigint = 2n ** 63n - 1n;

/** Read a raw query string (no `?`), or say what CKAN would refuse, or fail on. */
export function parseQuestion(query: string): Question | Refusal {
  const values = firstValues(query);
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
