/**
 * JSON inside a cell (json, jsonb, arrays) is read as Python reads it: the last of repeated keys counts, at the place
 * of the first; floats take Python's spelling. Unlike Python this has no limit of depth or digits: what Postgres took,
 * we read. Source of facts: recorded answers; Python manual, `json`.
 */
import type { PythonJson } from '../../python-json.ts';
import { floatText } from './float.ts';

export type List = PythonJson[];
export type Members = Map<string, PythonJson>;

/** A list or object that is being read; the key of an object's next member once it is read. */
interface Open {
  readonly into: List | Members;
  key: string | null;
}

/** Read JSON text that Postgres has checked. */
export function readNested(text: string): PythonJson {
  const root: PythonJson[] = [];
  let open: Open = { into: root, key: null };
  const path: Open[] = [];
  for (let at = 0; at < text.length;) {
    switch (text.charCodeAt(at)) {
      case 0x22: // "
        at = readString(text, at + 1, open);
        break;
      case 0x5b: // [
      case 0x7b: // {
        path.push(open);
        open = enter(open, text.charCodeAt(at) === 0x5b ? [] : new Map<string, PythonJson>());
        at += 1;
        break;
      case 0x5d: // ]
      case 0x7d: // }
        open = path.pop() ?? open;
        at += 1;
        break;
      case 0x20: // what stands between values
      case 0x2c:
      case 0x3a:
      case 0x09:
      case 0x0a:
      case 0x0d:
        at += 1;
        break;
      default:
        at = readWord(text, at, open);
    }
  }
  return root[0] ?? null;
}

function enter(open: Open, into: List | Members): Open {
  add(open, into);
  return { into, key: null };
}

function add(open: Open, value: PythonJson): void {
  if (Array.isArray(open.into)) open.into.push(value);
  else open.into.set(open.key ?? '', value);
  open.key = null;
}

/** Read the string whose first character stands at `start`; returns where the text goes on. */
function readString(text: string, start: number, open: Open): number {
  let end = text.indexOf('"', start);
  while (isEscaped(text, start, end)) end = text.indexOf('"', end + 1);
  const raw = text.slice(start, end);
  const value = raw.includes('\\') ? (JSON.parse(`"${raw}"`) as string) : raw;
  if (open.into instanceof Map && open.key === null) open.key = value;
  else add(open, value);
  return end + 1;
}

/** Whether an odd number of backslashes stands before the quote at `end`. */
function isEscaped(text: string, start: number, end: number): boolean {
  let backslashes = 0;
  while (end - backslashes > start && text[end - backslashes - 1] === '\\') backslashes += 1;
  return backslashes % 2 === 1;
}

/** Read a number, `true`, `false` or `null`; returns where the text goes on. */
function readWord(text: string, start: number, open: Open): number {
  let end = start + 1;
  let isFloat = false;
  for (; end < text.length; end++) {
    const code = text.charCodeAt(end);
    if (code === 0x2e || code === 0x45 || code === 0x65) isFloat = true;
    else if (!isWordCode(code)) break;
  }
  const word = text.slice(start, end);
  if (word === 'null') add(open, null);
  else if (word === 'true' || word === 'false') add(open, word === 'true');
  else if (isFloat) add(open, { kind: 'float', text: floatText(Number(word)) });
  else add(open, { kind: 'int', text: word === '-0' ? '0' : word });
  return end;
}

/** Digits, signs, small letters. */
function isWordCode(code: number): boolean {
  return (code >= 0x30 && code <= 0x39) || (code >= 0x61 && code <= 0x7a) || code === 0x2d || code === 0x2b;
}
