/**
 * Text as Python reads and prints it: CKAN's validators are Python's `int`, `strip` and `str`, so a question is read
 * by their rules. Source of facts: Python manual, "Built-in Functions" and "Text Sequence Type".
 */
import { isPythonList, isPythonNumber, isPythonObject, type PythonJson } from '../../python-json.ts';

/** What `str.strip` removes: Unicode white space and the separators U+001C to U+001F, but not U+FEFF. */
const space = '\\t-\\r\\u001c-\\u0020\\u0085\\u00a0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000';
const isSpace = new RegExp(`^[${space}]$`);

/** By the character: a pattern that ends in `+$` takes the square of a long run inside the text. */
export function strip(text: string): string {
  return trimmed(text, (character) => isSpace.test(character));
}

/** `text` without what `goes` at both ends. */
export function trimmed(text: string, goes: (character: string) => boolean): string {
  let [start, end] = [0, text.length];
  while (start < end && goes(text.charAt(start))) start += 1;
  while (end > start && goes(text.charAt(end - 1))) end -= 1;
  return text.slice(start, end);
}

const integer = /^[+-]?\p{Nd}+(?:_\p{Nd}+)*$/u;
/** Python refuses to read longer ones (sys.set_int_max_str_digits). */
const longestInteger = 4300;

/** `int(text)`, or null where that raises: digits of any script, single underscores between them, white space around. */
export function parseInteger(text: string): bigint | null {
  const stripped = strip(text);
  if (!integer.test(stripped) || stripped.length > longestInteger) return null;
  const digits = stripped
    .replaceAll(/[+_]/g, '')
    .replaceAll(/\p{Nd}/gu, (digit) => String(digitValue(digit)));
  return BigInt(digits.replace('-', '')) * (digits.startsWith('-') ? -1n : 1n);
}

/** Decimal digits stand in runs of ten that begin with zero (Unicode Standard, 4.6). */
function digitValue(digit: string): number {
  let runLength = 0;
  let point = digit.codePointAt(0) ?? 0;
  while (/\p{Nd}/u.test(String.fromCodePoint(--point))) runLength += 1;
  return runLength % 10;
}

/** `str(value)` of a parsed JSON value: what CKAN compares a column of type `text` with. */
export function pythonString(value: PythonJson): string {
  return typeof value === 'string' ? value : representation(value);
}

const floatWords: Readonly<Record<string, string>> = { NaN: 'nan', Infinity: 'inf', '-Infinity': '-inf' };

function representation(value: PythonJson): string {
  if (value === null) return 'None';
  if (typeof value === 'boolean') return value ? 'True' : 'False';
  if (typeof value === 'string') return quoted(value);
  if (isPythonNumber(value)) return floatWords[value.text] ?? value.text;
  if (isPythonList(value)) return `[${value.map(representation).join(', ')}]`;
  if (!isPythonObject(value)) return '';
  return `{${[...value].map(([key, member]) => `${quoted(key)}: ${representation(member)}`).join(', ')}}`;
}

const shortEscapes: Readonly<Record<string, string>> = {
  '\\': '\\\\',
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
};

/** `repr` of a string: single quotes unless only those occur inside; what is not printable is escaped. */
function quoted(text: string): string {
  const quote = text.includes("'") && !text.includes('"') ? '"' : "'";
  const escaped = text.replaceAll(/[\\\p{C}\p{Z}]/gu, (character) => {
    if (character === ' ') return character;
    return shortEscapes[character] ?? escapedPoint(character.codePointAt(0) ?? 0);
  });
  return `${quote}${escaped.replaceAll(quote, `\\${quote}`)}${quote}`;
}

function escapedPoint(point: number): string {
  const hex = point.toString(16);
  if (point <= 0xff) return `\\x${hex.padStart(2, '0')}`;
  return point <= 0xffff ? `\\u${hex.padStart(4, '0')}` : `\\U${hex.padStart(8, '0')}`;
}
