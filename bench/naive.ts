/** The naive design, as a peer: rows as objects through pg-query-stream, one scan a format, CSV and TSV by fast-csv. */
import { pipeline } from 'node:stream/promises';
import { Transform, Writable } from 'node:stream';
import { format as csvFormat } from 'fast-csv';
import type pg from 'pg';
import QueryStream from 'pg-query-stream';
import { quoteIdentifier } from '../src/postgres/table.ts';
import type { CkanFormat } from '../src/format.ts';

type Row = Record<string, unknown>;

/** Write the table in one format to nowhere; returns the bytes. */
export async function naiveDump(pool: pg.Pool, table: string, format: CkanFormat): Promise<number> {
  const client = await pool.connect();
  let bytes = 0;
  const nowhere = new Writable({
    write: (chunk: Buffer, _encoding, done) => {
      bytes += chunk.length;
      done();
    },
  });
  try {
    const rows = client.query(
      new QueryStream(`SELECT * FROM public.${quoteIdentifier(table)} ORDER BY _id`, [], { batchSize: 1000 }),
    );
    await pipeline(rows, writerOf(format), nowhere);
    return bytes;
  } finally {
    client.release();
  }
}

function writerOf(format: CkanFormat): NodeJS.ReadWriteStream {
  if (format === 'csv') return csvFormat({ headers: true });
  if (format === 'tsv') return csvFormat({ headers: true, delimiter: '\t' });
  return new Transform({
    writableObjectMode: true,
    transform: (row: Row, _encoding, done) =>
      done(null, format === 'json' ? `${JSON.stringify(Object.values(row))},\n` : xmlRow(row)),
  });
}

function xmlRow(row: Row): string {
  const cells = Object.entries(row).map(([name, value]) =>
    value === null ? `<${name} xsi:nil="true" />` : `<${name}>${escaped(String(value))}</${name}>`,
  );
  return `<row>${cells.join('')}</row>\n`;
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
