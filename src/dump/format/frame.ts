/**
 * What stands before the first row and after the last: CKAN's header row (Python's csv module), the JSON frame with
 * its fields, the XML root. A table without rows, and `limit=0`, is head and tail alone.
 */
import type { Format } from '../../format.ts';
import { writePythonJson } from '../../python-json.ts';
import type { OutputColumn } from '../formatter.ts';

export function headOf(format: Format, columns: readonly OutputColumn[]): Uint8Array {
  return Buffer.from(heads[format](columns));
}

export function tailOf(format: Format): Uint8Array {
  return Buffer.from(tails[format]);
}

const heads: Readonly<Record<Format, (columns: readonly OutputColumn[]) => string>> = {
  csv: (columns) => headerRow(columns, ','),
  tsv: (columns) => headerRow(columns, '\t'),
  json: (columns) => {
    const fields = columns.map(({ field }) => writePythonJson(new Map(Object.entries(field)))).join(',');
    return `{\n  "fields": [${fields}],\n  "records": [`;
  },
  xml: () => '<data xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">\n',
};

const tails: Readonly<Record<Format, string>> = { csv: '', tsv: '', json: '\n]}\n', xml: '</data>\n' };

/** Quoted where a name holds the delimiter, a quote or a line break (Python manual, `csv`, QUOTE_MINIMAL). */
function headerRow(columns: readonly OutputColumn[], delimiter: string): string {
  const cells = columns.map(({ name }) => {
    const plain = ![delimiter, '"', '\r', '\n'].some((special) => name.includes(special));
    return plain ? name : `"${name.replaceAll('"', '""')}"`;
  });
  return `${cells.join(delimiter)}\r\n`;
}
