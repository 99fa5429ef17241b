/** Promise P22: an answer's rows, read back by strict readers, for comparison cell by cell. */
import { SaxesParser } from 'saxes';
import type { Cell } from '../dump/oracle-formatter.ts';

export interface Rows {
  readonly names: readonly string[];
  readonly rows: readonly (readonly Cell[])[];
}

/** CSV or TSV: a header row, then records; an empty cell without quotes is NULL. */
export function readSeparated(text: string, delimiter: ',' | '\t'): Rows {
  const records: Cell[][] = [];
  let record: Cell[] = [];
  let at = 0;
  while (at < text.length) {
    const { cell, end } = readCell(text, at, delimiter);
    record.push(cell);
    if (text[end] === delimiter) at = end + 1;
    else {
      at = text.startsWith('\r\n', end) ? end + 2 : end + 1;
      records.push(record);
      record = [];
    }
  }
  const [names = [], ...rows] = records;
  return { names: names.map((name) => name ?? ''), rows };
}

function readCell(text: string, start: number, delimiter: string): { cell: Cell; end: number } {
  if (text[start] !== '"') {
    const end = start + (text.slice(start).search(delimiter === ',' ? /[,\r\n]|$/ : /[\t\r\n]|$/) || 0);
    return { cell: end === start ? null : text.slice(start, end), end };
  }
  let end = start + 1;
  while (text[end] !== '"' || text[end + 1] === '"') {
    if (end >= text.length) throw new Error('a quote that never ends');
    end += text[end] === '"' ? 2 : 1;
  }
  return { cell: text.slice(start + 1, end).replaceAll('""', '"'), end: end + 1 };
}

export interface XmlShape {
  readonly rows: number;
  /** The elements of the first row. */
  readonly elements: readonly string[];
}

/** Throws where the text is no well-formed XML. */
export function readXml(text: string): XmlShape {
  const parser = new SaxesParser();
  const elements: string[] = [];
  let rows = 0;
  let depth = 0;
  parser.on('error', (error) => {
    throw error;
  });
  parser.on('opentag', ({ name }) => {
    if (depth === 1) rows += 1;
    if (depth === 2 && rows === 1) elements.push(name);
    depth += 1;
  });
  parser.on('closetag', () => {
    depth -= 1;
  });
  parser.write(text).close();
  return { rows, elements };
}
