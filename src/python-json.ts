/**
 * JSON as Python reads and writes it: CKAN parses filters and data dictionaries with Python's `json` and prints them
 * again, and its spelling differs from JavaScript's (integers of any size, `1.0`, `1e-07`, `NaN`, order of keys).
 *
 * Source of facts: Python manual, `json` (defaults, `ensure_ascii=False`, `separators=(',', ':')`), and `float.__repr__`.
 */

/** A number in Python's own spelling, so that no digit is lost on the way. */
export interface PythonNumber {
  readonly kind: 'int' | 'float';
  readonly text: string;
}

export type PythonJson = null | boolean | string | PythonNumber | readonly PythonJson[] | PythonObject;
/** Keys in the order of the text; of a repeated key the last value counts, at the place of the first. */
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

/** Python refuses to nest deeper than its recursion limit, and to read an integer of more than 4,300 digits. */
const deepest = 900;
const longestInteger = 4300;

interface Reading {
  readonly text: string;
  at: number;
}

class NotJson extends Error {}

/** Parse as `json.loads` does; undefined where that raises. */
export function parsePythonJson(text: string): PythonJson | undefined {
  const reading: Reading = { text, at: 0 };
  try {
    const value = readValue(reading, 0);
    skipSpace(reading);
    return reading.at === text.length ? value : undefined;
  } catch (error) {
    if (error instanceof NotJson) return undefined;
    throw error;
  }
}

function skipSpace(reading: Reading): void {
  while (' \t\n\r'.includes(reading.text[reading.at] ?? 'x')) reading.at += 1;
}

/** Take `token` if it is next. */
function took(reading: Reading, token: string): boolean {
  if (!reading.text.startsWith(token, reading.at)) return false;
  reading.at += token.length;
  return true;
}

function expect(reading: Reading, token: string): void {
  if (!took(reading, token)) throw new NotJson();
}

const words: ReadonlyMap<string, PythonJson> = new Map<string, PythonJson>([
  ['null', null],
  ['true', true],
  ['false', false],
  ['NaN', { kind: 'float', text: 'NaN' }],
  ['Infinity', { kind: 'float', text: 'Infinity' }],
  ['-Infinity', { kind: 'float', text: '-Infinity' }],
]);

function readValue(reading: Reading, depth: number): PythonJson {
  if (depth > deepest) throw new NotJson();
  skipSpace(reading);
  if (took(reading, '{')) return readObject(reading, depth);
  if (took(reading, '[')) return readList(reading, depth);
  if (took(reading, '"')) return readString(reading);
  for (const [word, value] of words) if (took(reading, word)) return value;
  return readNumber(reading);
}

function readObject(reading: Reading, depth: number): PythonObject {
  const entries = new Map<string, PythonJson>();
  skipSpace(reading);
  if (took(reading, '}')) return entries;
  do {
    skipSpace(reading);
    expect(reading, '"');
    const key = readString(reading);
    skipSpace(reading);
    expect(reading, ':');
    entries.set(key, readValue(reading, depth + 1));
    skipSpace(reading);
  } while (took(reading, ','));
  expect(reading, '}');
  return entries;
}

function readList(reading: Reading, depth: number): PythonJson[] {
  const items: PythonJson[] = [];
  skipSpace(reading);
  if (took(reading, ']')) return items;
  do {
    items.push(readValue(reading, depth + 1));
    skipSpace(reading);
  } while (took(reading, ','));
  expect(reading, ']');
  return items;
}

function readString(reading: Reading): string {
  const end = endOfString(reading);
  const written = `"${reading.text.slice(reading.at, end)}`;
  reading.at = end;
  try {
    return JSON.parse(written) as string;
  } catch {
    throw new NotJson();
  }
}

/** Behind the first quote that no odd number of backslashes precedes: a pattern would need stack for each character. */
function endOfString({ text, at }: Reading): number {
  for (let quote = text.indexOf('"', at); quote >= 0; quote = text.indexOf('"', quote + 1)) {
    let before = quote;
    while (before > at && text[before - 1] === '\\') before -= 1;
    if ((quote - before) % 2 === 0) return quote + 1;
  }
  throw new NotJson();
}

const number = /-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?/y;

function readNumber(reading: Reading): PythonNumber {
  const text = matchHere(reading, number);
  if (/[.eE]/.test(text)) return { kind: 'float', text: pythonFloat(Number(text)) };
  if (text.length > longestInteger) throw new NotJson();
  return { kind: 'int', text: text === '-0' ? '0' : text };
}

function matchHere(reading: Reading, pattern: RegExp): string {
  pattern.lastIndex = reading.at;
  const found = pattern.exec(reading.text)?.[0];
  if (found === undefined) throw new NotJson();
  reading.at += found.length;
  return found;
}

/** `repr` of a float: shortest digits, exponent below 1e-4 and from 1e16 on, with a sign and two digits at least. */
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
 * Write as `json.dumps(value, ensure_ascii=False, separators=(',', ':'))` does; what JSON has no number for (an infinity
 * or NaN) is a string.
 */
export function writePythonJson(value: PythonJson): string {
  if (isPythonNumber(value)) return /\d$/.test(value.text) ? value.text : JSON.stringify(value.text);
  if (isPythonList(value)) return `[${value.map(writePythonJson).join(',')}]`;
  if (!isPythonObject(value)) return JSON.stringify(value);
  const members = [...value].map(([key, member]) => `${JSON.stringify(key)}:${writePythonJson(member)}`);
  return `{${members.join(',')}}`;
}
