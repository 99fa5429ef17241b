/**
 * JSON inside a cell (json, jsonb, arrays): the slow path of a row. CKAN has read it with Python and writes it again,
 * compact in JSON answers, as `<value key="…">` in XML, while CSV and TSV keep its text.
 *
 * Unlike Python this has no limit of depth or digits: what Postgres took, we write. Source of facts: recorded answers;
 * Python manual, `json` (the last of repeated keys counts, at the place of the first) and `xml.etree.ElementTree`.
 */
import type { PythonJson, PythonNumber } from '../../python-json.ts';
import { floatText } from './float.ts';

type List = PythonJson[];
type Members = Map<string, PythonJson>;

/** A list or object that is being read; the key of an object's next member once it is read. */
interface Open {
  readonly into: List | Members;
  key: string | null;
}

/** Read JSON text that Postgres has checked. */
export function readNested(text: string): PythonJson {
  const root: PythonJson[] = [];
  const path: Open[] = [{ into: root, key: null }];
  for (let at = 0; at < text.length;) {
    const open = path.at(-1) as Open;
    const character = text[at] as string;
    if (character === '"') at = readString(text, at + 1, open);
    else if (character === '[' || character === '{') {
      const into = character === '[' ? [] : new Map<string, PythonJson>();
      add(open, into);
      path.push({ into, key: null });
      at += 1;
    } else if (character === ']' || character === '}') {
      path.pop();
      at += 1;
    } else if (between.has(character)) at += 1;
    else at = readWord(text, at, open);
  }
  return root[0] ?? null;
}

const between = new Set(' ,:\n\r\t');

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

const words = new Map<string, boolean | null>([
  ['true', true],
  ['false', false],
  ['null', null],
]);
const word = /[-+.\w]+/y;

function readWord(text: string, start: number, open: Open): number {
  word.lastIndex = start;
  const found = word.exec(text)?.[0] ?? text.slice(start);
  const value = words.get(found);
  add(open, value === undefined ? readNumber(found) : value);
  return start + found.length;
}

function readNumber(text: string): PythonNumber {
  if (/[.eE]/.test(text)) return { kind: 'float', text: floatText(Number(text)) };
  return { kind: 'int', text: text === '-0' ? '0' : text };
}

/** What a walk through a value meets, in order; `key` is null but for an object's members. */
interface Visitor {
  open(container: List | Members, key: string | number | null): void;
  leaf(value: Leaf, key: string | number | null): void;
  close(container: List | Members, key: string | number | null): void;
}
type Leaf = null | boolean | string | PythonNumber;
type Entries = Iterator<[string | number, PythonJson]>;

/** Depth first without recursion: Postgres nests deeper than a call stack. */
function walk(root: PythonJson, visitor: Visitor): void {
  const path: { container: List | Members; key: string | number | null; entries: Entries }[] = [];
  const visit = (value: PythonJson, key: string | number | null): void => {
    if (!isContainer(value)) return visitor.leaf(value as Leaf, key);
    visitor.open(value, key);
    path.push({ container: value, key, entries: value.entries() as Entries });
  };
  visit(root, null);
  for (let here = path.at(-1); here !== undefined; here = path.at(-1)) {
    const next = here.entries.next();
    if (!next.done) visit(next.value[1], next.value[0]);
    else visitor.close((path.pop() ?? here).container, here.key);
  }
}

function isContainer(value: PythonJson): value is List | Members {
  return Array.isArray(value) || value instanceof Map;
}

function sizeOf(container: List | Members): number {
  return Array.isArray(container) ? container.length : container.size;
}

/** As `json.dumps(value, ensure_ascii=False, separators=(',', ':'))`; an infinite float is a string. */
export function nestedJson(root: PythonJson): string {
  let text = '';
  let comma = '';
  const lead = (key: string | number | null): void => {
    text += typeof key === 'string' ? `${comma}${JSON.stringify(key)}:` : comma;
  };
  walk(root, {
    open(container, key) {
      lead(key);
      text += Array.isArray(container) ? '[' : '{';
      comma = '';
    },
    leaf(value, key) {
      lead(key);
      text += leafJson(value);
      comma = ',';
    },
    close(container) {
      text += Array.isArray(container) ? ']' : '}';
      comma = ',';
    },
  });
  return text;
}

function leafJson(value: Leaf): string {
  if (value === null || typeof value !== 'object') return JSON.stringify(value);
  return value.text.endsWith('y') ? JSON.stringify(value.text) : value.text;
}

/** The element `name` that holds the value, its members as `<value key="…">`. */
export function nestedXml(name: string, root: PythonJson): string {
  let text = '';
  const start = (key: string | number | null): string =>
    key === null ? `<${name}` : `<value key="${escapeAttribute(String(key))}"`;
  const nil = (key: string | number | null): string =>
    key === null ? `<${name} xsi:nil="true"` : `<value xsi:nil="true" key="${escapeAttribute(String(key))}"`;
  const end = (key: string | number | null): string => (key === null ? `</${name}>` : '</value>');
  walk(root, {
    open(container, key) {
      text += `${start(key)}${sizeOf(container) === 0 ? ' />' : '>'}`;
    },
    leaf(value, key) {
      const content = leafXml(value);
      if (value === null) text += `${nil(key)} />`;
      else text += content === '' ? `${start(key)} />` : `${start(key)}>${content}${end(key)}`;
    },
    close(container, key) {
      if (sizeOf(container) > 0) text += end(key);
    },
  });
  return text;
}

/** `str` of a Python value. */
function leafXml(value: Leaf): string {
  if (typeof value === 'string') return escapeText(value);
  if (typeof value === 'boolean') return value ? 'True' : 'False';
  return value === null ? '' : value.text.replace('Infinity', 'inf');
}

// oxlint-disable-next-line no-control-regex -- what XML 1.0 does not allow (production 2); surrogates alone become U+FFFD in UTF-8
const notXml = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/g;
const textEscapes: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;' };
const attributeEscapes: Readonly<Record<string, string>> = {
  ...textEscapes,
  '"': '&quot;',
  '\t': '&#09;',
  '\n': '&#10;',
  '\r': '&#13;',
};

function escapeText(text: string): string {
  return text.replaceAll(/[&<>]/g, (character) => textEscapes[character] ?? '').replaceAll(notXml, '\ufffd');
}

export function escapeAttribute(text: string): string {
  return text
    .replaceAll(/[&<>"\t\n\r]/g, (character) => attributeEscapes[character] ?? '')
    .replaceAll(notXml, '\ufffd');
}
