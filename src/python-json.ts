/**
 * JSON as Python reads and writes it. CKAN parses filters and data dictionaries with Python's `json` and prints them
 * again, and Python's spelling differs from JavaScript's (integers of any size, `1.0`, `1e-07`, `NaN`, order of keys).
 *
 * Source of facts: Python manual, `json` (defaults, `ensure_ascii=False`, `separators=(',', ':')`), and `float.__repr__`.
 */

/** A number in Python's own spelling, so that no digit is lost. */
export interface PythonNumber {
  readonly kind: 'int' | 'float';
  readonly text: string;
}

export type PythonJson = null | boolean | string | PythonNumber | readonly PythonJson[] | PythonObject;
/** Keys in the order of the text; a repeated key has its last value, at the place of its first. */
export type PythonObject = ReadonlyMap<string, PythonJson>;

export function isPythonObject(value: PythonJson | undefined): value is PythonObject {
  return value instanceof Map;
}

export function isPythonList(value: PythonJson | undefined): value is readonly PythonJson[] {
  return Array.isArray(value);
}

export function isPythonNumber(value: PythonJson | undefined): value is PythonNumber {
  return typeof value === 'object' && value !== null && 'kind' in value && 'text' in value;
}

/** Python refuses JSON nested deeper than its recursion limit, and integers of more than 4,300 digits. */
const deepest = 900;
const longestInteger = 4300;

interface Cursor {
  readonly text: string;
  at: number;
}

class NotJson extends Error {}

/** Parse as `json.loads` does; undefined where that raises. */
export function parsePythonJson(text: string): PythonJson | undefined {
  const cursor: Cursor = { text, at: 0 };
  try {
    const value = readValue(cursor, 0);
    skipSpace(cursor);
    return cursor.at === text.length ? value : undefined;
  } catch (error) {
    if (error instanceof NotJson) return undefined;
    throw error;
  }
}

function skipSpace(cursor: Cursor): void {
  while (' \t\n\r'.includes(cursor.text[cursor.at] ?? 'x')) cursor.at += 1;
}

/** Take `token` if it is next. */
function take(cursor: Cursor, token: string): boolean {
  if (!cursor.text.startsWith(token, cursor.at)) return false;
  cursor.at += token.length;
  return true;
}

function expect(cursor: Cursor, token: string): void {
  if (!take(cursor, token)) throw new NotJson();
}

const words: ReadonlyMap<string, PythonJson> = new Map<string, PythonJson>([
  ['null', null],
  ['true', true],
  ['false', false],
  ['NaN', { kind: 'float', text: 'NaN' }],
  ['Infinity', { kind: 'float', text: 'Infinity' }],
  ['-Infinity', { kind: 'float', text: '-Infinity' }],
]);

function readValue(cursor: Cursor, depth: number): PythonJson {
  if (depth > deepest) throw new NotJson();
  skipSpace(cursor);
  if (take(cursor, '{')) return readObject(cursor, depth);
  if (take(cursor, '[')) return readList(cursor, depth);
  if (take(cursor, '"')) return readString(cursor);
  for (const [word, value] of words) if (take(cursor, word)) return value;
  return readNumber(cursor);
}

function readObject(cursor: Cursor, depth: number): PythonObject {
  const entries = new Map<string, PythonJson>();
  skipSpace(cursor);
  if (take(cursor, '}')) return entries;
  do {
    skipSpace(cursor);
    expect(cursor, '"');
    const key = readString(cursor);
    skipSpace(cursor);
    expect(cursor, ':');
    entries.set(key, readValue(cursor, depth + 1));
    skipSpace(cursor);
  } while (take(cursor, ','));
  expect(cursor, '}');
  return entries;
}

function readList(cursor: Cursor, depth: number): PythonJson[] {
  const items: PythonJson[] = [];
  skipSpace(cursor);
  if (take(cursor, ']')) return items;
  do {
    items.push(readValue(cursor, depth + 1));
    skipSpace(cursor);
  } while (take(cursor, ','));
  expect(cursor, ']');
  return items;
}

function readString(cursor: Cursor): string {
  const end = endOfString(cursor);
  const written = `"${cursor.text.slice(cursor.at, end)}`;
  cursor.at = end;
  try {
    return JSON.parse(written) as string;
  } catch {
    throw new NotJson();
  }
}

/** The offset after the first quote that is not escaped (a regular expression would need stack for each character). */
function endOfString({ text, at }: Cursor): number {
  for (let quote = text.indexOf('"', at); quote >= 0; quote = text.indexOf('"', quote + 1)) {
    let before = quote;
    while (before > at && text[before - 1] === '\\') before -= 1;
    if ((quote - before) % 2 === 0) return quote + 1;
  }
  throw new NotJson();
}

const number = /-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?/y;

function readNumber(cursor: Cursor): PythonNumber {
  const text = matchHere(cursor, number);
  if (/[.eE]/.test(text)) return { kind: 'float', text: pythonFloat(Number(text)) };
  if (text.length > longestInteger) throw new NotJson();
  return { kind: 'int', text: text === '-0' ? '0' : text };
}

function matchHere(cursor: Cursor, pattern: RegExp): string {
  pattern.lastIndex = cursor.at;
  const found = pattern.exec(cursor.text)?.[0];
  if (found === undefined) throw new NotJson();
  cursor.at += found.length;
  return found;
}

/** `repr` of a float: shortest digits; an exponent below 1e-4 and from 1e16, with a sign and at least two digits. */
export function pythonFloat(value: number): string {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? 'NaN' : value > 0 ? 'Infinity' : '-Infinity';
  const sign = value < 0 || Object.is(value, -0) ? '-' : '';
  const [mantissa = '0', exponentText = '0'] = Math.abs(value).toExponential().split('e');
  const digits = mantissa.replace('.', '');
  const exponent = Number(exponentText);
  if (exponent < -4 || exponent >= 16) {
    const fraction = digits.length > 1 ? `.${digits.slice(1)}` : '';
    const power = String(Math.abs(exponent)).padStart(2, '0');
    return `${sign}${digits[0]}${fraction}e${exponent < 0 ? '-' : '+'}${power}`;
  }
  if (exponent < 0) return `${sign}0.${'0'.repeat(-exponent - 1)}${digits}`;
  const whole = digits.slice(0, exponent + 1).padEnd(exponent + 1, '0');
  return `${sign}${whole}.${digits.slice(exponent + 1) || '0'}`;
}

/**
 * Write as `json.dumps(value, ensure_ascii=False, separators=(',', ':'))` does; a value that is no number in JSON (an
 * infinity or NaN) becomes a string.
 */
export function writePythonJson(value: PythonJson): string {
  if (isPythonNumber(value)) return /\d$/.test(value.text) ? value.text : JSON.stringify(value.text);
  if (isPythonList(value)) return `[${value.map(writePythonJson).join(',')}]`;
  if (!isPythonObject(value)) return JSON.stringify(value);
  const members = [...value].map(([key, member]) => `${JSON.stringify(key)}:${writePythonJson(member)}`);
  return `{${members.join(',')}}`;
}
