/**
 * JSON inside a cell, written as CKAN's Python writes it: compact in JSON and NDJSON, as `<value key="…">` in XML. This is
 * the slow path of a row; CSV and TSV keep the cell's text. Source of facts: recorded answers; Python manual, `json` and
 * `xml.etree.ElementTree`.
 */
import type { PythonJson, PythonNumber } from '../../python-json.ts';
import type { List, Members } from './nested.ts';
import { escapeAttribute, escapeText } from './xml-text.ts';

/** What a walk through a value meets, in order; `key` is null but for an object's members. */
interface Visitor {
  open(container: List | Members, key: string | number | null): void;
  leaf(value: Leaf, key: string | number | null): void;
  close(container: List | Members, key: string | number | null): void;
}
type Leaf = null | boolean | string | PythonNumber;

/** A container on the way down, and how far its members are visited. */
interface Step {
  readonly container: List | Members;
  readonly key: string | number | null;
  readonly members: Iterator<[string, PythonJson]> | null;
  next: number;
}

/** Depth first without recursion: Postgres nests deeper than a call stack. */
function walk(root: PythonJson, visitor: Visitor): void {
  if (!isContainer(root)) return visitor.leaf(root as Leaf, null);
  const path: Step[] = [];
  let here = descend(root, null, visitor);
  for (;;) {
    const index = here.next++;
    const member = here.members?.next();
    const isDone = member === undefined ? index === sizeOf(here.container) : member.done === true;
    if (isDone) {
      visitor.close(here.container, here.key);
      const above = path.pop();
      if (above === undefined) return;
      here = above;
      continue;
    }
    const key = member === undefined ? index : member.value[0];
    const value = member === undefined ? ((here.container as List)[index] ?? null) : member.value[1];
    if (isContainer(value)) {
      path.push(here);
      here = descend(value, key, visitor);
    } else visitor.leaf(value as Leaf, key);
  }
}

function descend(container: List | Members, key: string | number | null, visitor: Visitor): Step {
  visitor.open(container, key);
  return { container, key, members: Array.isArray(container) ? null : container.entries(), next: 0 };
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
    text += typeof key === 'string' ? `${comma}${quote(key)}:` : comma;
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

// oxlint-disable-next-line no-control-regex -- what JSON strings escape, surrogates alone included
const jsonSpecial = /["\\\u0000-\u001f\ud800-\udfff]/;

function quote(text: string): string {
  return jsonSpecial.test(text) ? JSON.stringify(text) : `"${text}"`;
}

function leafJson(value: Leaf): string {
  if (typeof value === 'string') return quote(value);
  if (value === null || typeof value !== 'object') return String(value);
  return value.text.endsWith('y') ? JSON.stringify(value.text) : value.text;
}

/** The element `name` that holds the value, its members as `<value key="…">`. */
export function nestedXml(name: string, root: PythonJson): string {
  let text = '';
  const start = (key: string | number | null): string =>
    key === null ? `<${name}` : `<value key="${keyText(key)}"`;
  const nil = (key: string | number | null): string =>
    key === null ? `<${name} xsi:nil="true"` : `<value xsi:nil="true" key="${keyText(key)}"`;
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

function keyText(key: string | number): string {
  return typeof key === 'number' ? String(key) : escapeAttribute(key);
}

/** `str` of a Python value. */
function leafXml(value: Leaf): string {
  if (typeof value === 'string') return escapeText(value);
  if (typeof value === 'boolean') return value ? 'True' : 'False';
  return value === null ? '' : value.text.replace('Infinity', 'inf');
}
