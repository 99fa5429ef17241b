/**
 * What the host gives of a format that the kernel writes: the bytes before the first row and after the last (CKAN's
 * header row by Python's csv module, the JSON frame with its fields, the XML root), the texts between a row's cells, and
 * JSON inside a cell. A table without rows, and `limit=0`, is head and tail alone.
 */
import type { KernelFormat } from '../../format.ts';
import { writePythonJson, type PythonJson } from '../../python-json.ts';
import type { FormatterOptions, OutputColumn } from '../formatter.ts';
import { nestedJson, nestedXml } from './nested-text.ts';
import { hasIdAttribute, xmlNames, type XmlNames } from './xml-names.ts';

export interface Frame {
  head(): string;
  readonly tail: string;
  /** The kernel's literals of this format, in the order in which its rows are written. */
  readonly literals: readonly string[];
  /** JSON inside a cell of the column, written anew; null where cells keep Postgres's text. */
  readonly nested: ((value: PythonJson, column: number) => string) | null;
}

export function frameOf(format: KernelFormat, options: FormatterOptions): Frame {
  return frames[format](options);
}

const frames: Readonly<Record<KernelFormat, (options: FormatterOptions) => Frame>> = {
  csv: ({ columns }) => ({ head: () => headerRow(columns, ','), tail: '', literals: [], nested: null }),
  tsv: ({ columns }) => ({ head: () => headerRow(columns, '\t'), tail: '', literals: [], nested: null }),
  json: ({ columns }) => ({
    head: () => jsonHead(columns),
    tail: '\n]}\n',
    literals: [],
    nested: nestedJson,
  }),
  xml: xmlFrame,
  ndjson: ({ columns }) => ({
    head: () => '',
    tail: '',
    literals: columns.map(({ name }, index) => `${index === 0 ? '{' : ','}${JSON.stringify(name)}:`),
    nested: nestedJson,
  }),
};

/** Quoted where a name holds the delimiter, a quote or a line break (Python manual, `csv`, QUOTE_MINIMAL). */
function headerRow(columns: readonly OutputColumn[], delimiter: string): string {
  const cells = columns.map(({ name }) => {
    const plain = ![delimiter, '"', '\r', '\n'].some((special) => name.includes(special));
    return plain ? name : `"${name.replaceAll('"', '""')}"`;
  });
  return `${cells.join(delimiter)}\r\n`;
}

function jsonHead(columns: readonly OutputColumn[]): string {
  const fields = columns.map(({ field }) => writePythonJson(new Map(Object.entries(field)))).join(',');
  return `{\n  "fields": [${fields}],\n  "records": [`;
}

function xmlFrame({ columns, profile }: FormatterOptions): Frame {
  const idAttribute = hasIdAttribute(columns);
  const names = columns.map(({ name }) => name);
  const elements = xmlNames(idAttribute ? names.slice(1) : names, profile);
  const firstElement = idAttribute ? 1 : 0;
  return {
    head: () => '<data xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">\n',
    tail: '</data>\n',
    literals: tagsOf(elements, idAttribute),
    nested: (value, column) => nestedXml(elements.elements[column - firstElement] ?? '_', value),
  };
}

/** Three of the row, then open, close, nil and empty of each column (`xml.as.ts`), of the attribute's unused. */
function tagsOf({ elements, declarations }: XmlNames, idAttribute: boolean): string[] {
  const alone = idAttribute && elements.length === 0;
  const row = idAttribute
    ? [`<row${declarations} _id="`, alone ? '" />\n' : '">', alone ? '' : '</row>\n']
    : [`<row${declarations}>`, '', '</row>\n'];
  const unused = idAttribute ? ['', '', '', ''] : [];
  return [
    ...row,
    ...unused,
    ...elements.flatMap((name) => [`<${name}>`, `</${name}>`, `<${name} xsi:nil="true" />`, `<${name} />`]),
  ];
}
