/**
 * The oracle of formats: the formatter that the kernel must agree with, and readers. Of the formatter: values in, one
 * string out, a rule a line, written from CKAN's recorded answers and the Postgres and Python manuals, not from the kernel.
 */
import type { CkanProfile } from '../../src/ckan/profile.ts';
import { formats, type Format } from '../../src/format.ts';
import { parsePythonJson, pythonFloat, writePythonJson, type PythonJson } from '../../src/python-json.ts';

export interface SlowColumn {
  readonly name: string;
  readonly type: string;
}
/** A cell as Postgres prints it, or NULL. */
export type Cell = string | null;

/** A value as CKAN's Python holds it. */
type Value = PythonJson;

type Values = readonly (readonly Value[])[];
type Texts = readonly (readonly Cell[])[];

/** What a format makes of all rows: of their texts or of their values. */
const writers: Readonly<
  Record<Format, (columns: readonly SlowColumn[], texts: Texts, values: Values) => string>
> = {
  csv: (_columns, texts) => texts.map((row) => line(row, ',')).join(''),
  tsv: (_columns, texts) => texts.map((row) => line(row, '\t')).join(''),
  json: (_columns, _texts, values) => values.map((row) => `\n    [${row.map(jsonText).join(',')}]`).join(','),
  xml: (columns, _texts, values) => values.map((row) => xmlRow(columns, row)).join(''),
  ndjson: (columns, _texts, values) =>
    values
      .map((row) => row.map((value, i) => `${jsonText(columns[i]?.name ?? '')}:${jsonText(value)}`))
      .map((members) => `{${members.join(',')}}\n`)
      .join(''),
};

export function slowRows(
  format: Format,
  columns: readonly SlowColumn[],
  rows: readonly (readonly Cell[])[],
  profile: CkanProfile,
): string {
  const texts = rows.map((row) => shown(columns, row, profile));
  const values = texts.map((row) => row.map((cell, i) => valueOf(columns[i]?.type, cell)));
  return writers[format](columns, texts, values);
}

export function forEachFormat<Result>(make: (format: Format) => Result): Record<Format, Result> {
  return Object.fromEntries(formats.map((format) => [format, make(format)])) as Record<Format, Result>;
}

/** The row as the SELECT list yields it: CSV's cells. */
function shown(columns: readonly SlowColumn[], row: readonly Cell[], profile: CkanProfile): Cell[] {
  return row.map((cell, i) => (columns[i]?.type === 'timestamp' ? timestamp(cell, profile) : cell));
}

/** One line of Postgres's CSV (Postgres manual, COPY, "CSV Format"). */
export function line(cells: readonly Cell[], delimiter: string): string {
  const quoted = (cell: string): boolean =>
    cell === '' || /["\r\n]/.test(cell) || cell.includes(delimiter) || (cells.length === 1 && cell === '\\.');
  const written = cells.map((cell) => {
    if (cell === null) return '';
    return quoted(cell) ? `"${cell.replaceAll('"', '""')}"` : cell;
  });
  return `${written.join(delimiter)}\n`;
}

/** `2020-01-02 03:04:05.6789 BC`: to the second, or truncated to three digits; no era, no infinity. */
function timestamp(cell: Cell, profile: CkanProfile): Cell {
  const parts = /^(\d+-\d\d-\d\d) (\d\d:\d\d:\d\d)(?:\.(\d+))?(?: BC)?$/.exec(cell ?? '');
  if (parts === null) return null;
  const [, day, time, fraction = ''] = parts;
  const milliseconds = profile.millisecondsInTimestamps ? `.${fraction.padEnd(3, '0').slice(0, 3)}` : '';
  return `${day}T${time}${milliseconds}`;
}

/** What Python reads of `to_json` of the cell. */
function valueOf(type: string | undefined, cell: Cell): Value {
  if (cell === null) return null;
  switch (type) {
    case 'int4':
    case 'int8':
    case 'numeric':
    case 'float4':
    case 'float8':
      return /^(NaN|-?Infinity)$/.test(cell) ? cell : (parsePythonJson(cell) ?? null);
    case 'bool':
      return cell === 't';
    case 'timestamptz':
      return cell.replace(' ', 'T').replace(/([+-]\d\d)( BC)?$/, '$1:00$2');
    case 'json':
    case 'jsonb':
    case '_text':
      return parsePythonJson(cell) ?? null;
    default:
      return cell;
  }
}

function jsonText(value: Value): string {
  return writePythonJson(value);
}

function xmlRow(columns: readonly SlowColumn[], row: readonly Value[]): string {
  const hasId = columns[0]?.name === '_id';
  const id = hasId ? ` _id="${attribute(text(row[0] ?? null))}"` : '';
  const elements = row
    .slice(hasId ? 1 : 0)
    .map((value, i) => element(columns[i + (hasId ? 1 : 0)]?.name ?? '', value));
  return elements.length === 0 ? `<row${id} />\n` : `<row${id}>${elements.join('')}</row>\n`;
}

function element(name: string, value: Value, key?: string): string {
  const keyed = key === undefined ? '' : ` key="${attribute(key)}"`;
  if (value === null) return `<${name} xsi:nil="true"${keyed} />`;
  const content = contentOf(value);
  return content === '' ? `<${name}${keyed} />` : `<${name}${keyed}>${content}</${name}>`;
}

function contentOf(value: Value): string {
  if (Array.isArray(value)) return value.map((item: Value, i) => element('value', item, String(i))).join('');
  if (value instanceof Map) return [...value].map(([key, item]) => element('value', item, key)).join('');
  return clean(text(value)).replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}

/** Python's `str`. */
function text(value: Value): string {
  if (value === null) return 'None';
  if (value === true) return 'True';
  if (value === false) return 'False';
  if (typeof value === 'string') return value;
  return 'text' in value ? String(value.text).replace('Infinity', 'inf') : '';
}

function attribute(value: string): string {
  const escapes: Record<string, string> = {
    '&': '&amp;',
    '<': '&lt;',
    '>': '&gt;',
    '"': '&quot;',
    '\r': '&#13;',
    '\n': '&#10;',
    '\t': '&#09;',
  };
  return [...clean(value)].map((character) => escapes[character] ?? character).join('');
}

/** Characters that XML 1.0 does not allow become U+FFFD (production 2). */
function clean(value: string): string {
  const allowed = (code: number): boolean =>
    code === 9 ||
    code === 10 ||
    code === 13 ||
    (code >= 0x20 && code <= 0xd7ff) ||
    (code >= 0xe000 && code <= 0xfffd) ||
    code >= 0x10000;
  return [...value]
    .map((character) => (allowed(character.codePointAt(0) ?? 0) ? character : '\ufffd'))
    .join('');
}

/** How Postgres prints a float8 (extra_float_digits 1): shortest digits, exponent below 1e-4 and from 1e15 on. */
export function postgresFloat(value: number): string {
  if (!Number.isFinite(value)) return pythonFloat(value);
  const sign = value < 0 || Object.is(value, -0) ? '-' : '';
  const [digits = '', exponent = '0'] = Math.abs(value).toExponential().split('e');
  if (value !== 0 && (Number(exponent) < -4 || Number(exponent) >= 15)) {
    const power = String(Math.abs(Number(exponent))).padStart(2, '0');
    return `${sign}${digits}e${Number(exponent) < 0 ? '-' : '+'}${power}`;
  }
  return (
    sign +
    pythonFloat(Math.abs(value))
      .replace(/\.0$/, '')
      .replace(/^1e-05$/, '0.00001')
  );
}

const bom = /^\uFEFF/;

/**
 * Rows of a whole dump whose cells hold no quote, comma, tab, line break or angle bracket: cells as texts, `_id` first.
 * Throws where the frame of the format is not closed.
 */
export function readRows(format: Format, bytes: Uint8Array): string[][] {
  return readers[format](Buffer.from(bytes).toString('utf8').replace(bom, ''));
}

const readers: Readonly<Record<Format, (text: string) => string[][]>> = {
  csv: (written) =>
    linesOf(written)
      .slice(1)
      .map((row) => row.split(',')),
  tsv: (written) =>
    linesOf(written)
      .slice(1)
      .map((row) => row.split('\t')),
  json: (written) => (JSON.parse(written) as { records: unknown[][] }).records.map((row) => row.map(String)),
  xml: (written) => {
    if (!written.trimEnd().endsWith('</data>')) throw new Error('the XML is not closed');
    const rows = written.split('<row ').slice(1);
    return rows.map((row) => [/_id="([^"]*)"/.exec(row)?.[1] ?? '', ...elementsOf(row)]);
  },
  ndjson: (written) =>
    (written === '' ? [] : linesOf(written)).map((row) =>
      Object.values(JSON.parse(row) as object).map(String),
    ),
};

function linesOf(written: string): string[] {
  if (!written.endsWith('\n')) throw new Error('the last line is not ended');
  return written.split(/\r?\n/).slice(0, -1);
}

function elementsOf(row: string): string[] {
  return [...row.matchAll(/<([^\s/>]+)(?:\s[^>]*)?(?:\/>|>([^<]*)<\/\1>)/g)].map((match) => match[2] ?? '');
}
