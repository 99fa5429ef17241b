/** The kernel against the oracle formatter, on random tables and at its limits (promises P14, P22). */
import * as fc from 'fast-check';
import { SaxesParser } from 'saxes';
import { describe, expect, test, vi } from 'vitest';
import { ckanProfile, type CkanProfile } from '../../src/ckan/profile.ts';
import { createFormatter, largestRowBytes } from '../../src/dump/format/formatter.ts';
import { formats, type Format } from '../../src/format.ts';
import { copyMessages, message } from './copy-messages.ts';
import { randomTable } from './random-tables.ts';
import { forEachFormat, line, slowRows, type SlowColumn } from './oracle-formatter.ts';

// thousands of random tables
vi.setConfig({ testTimeout: 60_000 });

interface Written {
  readonly rest: Uint8Array | null;
  readonly rows: number;
  readonly body: Readonly<Record<Format, string>>;
  readonly whole: Readonly<Record<Format, string>>;
}

function formatterOf(columns: readonly SlowColumn[], profile: CkanProfile) {
  const described = columns.map(({ name, type }) => ({ name, type, field: { id: name, type } }));
  return createFormatter({ columns: described, formats, profile });
}

/** Feed `stream` in pieces that end at `cuts`. */
function write(
  columns: readonly SlowColumn[],
  stream: Buffer,
  cuts: readonly number[],
  profile: CkanProfile,
): Written {
  const formatter = formatterOf(columns, profile);
  const parts = forEachFormat((): Buffer[] => []);
  let rest: Uint8Array | null = null;
  const ends = [...new Set([...cuts.map((cut) => cut % stream.length), stream.length])].toSorted(
    (a, b) => a - b,
  );
  for (let from = 0; from < stream.length && rest === null; from = ends.shift() ?? stream.length) {
    const piece = stream.subarray(from, ends[0]);
    rest = formatter.feed(piece, (format, bytes) => parts[format].push(Buffer.from(bytes)));
    if (rest !== null) rest = Buffer.concat([rest, stream.subarray(ends[0])]);
  }
  const body = forEachFormat((format) => Buffer.concat(parts[format]).toString());
  const framed = (format: Format): string =>
    `${Buffer.from(formatter.head(format))}${body[format]}${Buffer.from(formatter.tail(format))}`;
  return { rest, rows: formatter.rows, body, whole: forEachFormat(framed) };
}

function parseXml(text: string): number {
  const parser = new SaxesParser({ xmlns: true });
  let rows = 0;
  parser.on('error', (error) => {
    throw error;
  });
  parser.on('opentag', (tag) => {
    if (tag.name === 'row') rows += 1;
  });
  parser.write(text).close();
  return rows;
}

const profiles = [ckanProfile('2.11'), ckanProfile('2.12')] as const;
const cuts = fc.array(fc.nat(), { maxLength: 12 });

describe('P22: the kernel and the oracle formatter write the same bytes', () => {
  test('on random tables of every kind of column, however the stream is split', () => {
    let tables = 0;
    fc.assert(
      fc.property(randomTable, cuts, fc.constantFrom(...profiles), (table, split, profile) => {
        const written = write(table.columns, copyMessages(table.rows), split, profile);
        for (const format of formats) {
          expect(written.body[format]).toBe(slowRows(format, table.columns, table.rows, profile));
        }
        expect(written.rows).toBe(table.rows.length);
        expect(written.rest).toEqual(message('c', ''));
        tables += 1;
      }),
      { numRuns: 1500 },
    );
    console.log(`random tables compared in every format: ${tables}`);
  });

  test('and every answer parses strictly', () => {
    fc.assert(
      fc.property(randomTable, (table) => {
        const { whole } = write(table.columns, copyMessages(table.rows), [], profiles[1]);
        const parsed = JSON.parse(whole.json) as { fields: unknown[]; records: unknown[][] };
        expect(parsed.records.map((record) => record.length)).toEqual(
          table.rows.map(() => table.columns.length),
        );
        expect(parseXml(whole.xml)).toBe(table.rows.length);
      }),
      { numRuns: 300 },
    );
  });

  test('one byte at a time', () => {
    const columns = [
      { name: '_id', type: 'int4' },
      { name: 'a', type: 'text' },
      { name: 'j', type: 'jsonb' },
    ];
    const rows = [
      ['1', 'say "hi", \\ & go\n', '{"a": [1.0, "é"]}'],
      ['2', null, null],
      ['3', '', '""'],
    ];
    const stream = copyMessages(rows);
    const written = write(columns, stream, [...stream.keys()], profiles[0]);
    for (const format of formats)
      expect(written.body[format]).toBe(slowRows(format, columns, rows, profiles[0]));
  });
});

test('P22: outputs that fill up at every place of a row lose nothing', () => {
  const columns = ['a', 'b', 'c'].map((name) => ({ name, type: 'text' }));
  const rows = Array.from({ length: 2500 }, (_, n) => [
    'plain, '.repeat((n * 37) % 160),
    '<'.repeat((n * 101) % 1100),
    '\u0001'.repeat((n * 53) % 300),
  ]);
  const written = write(columns, copyMessages(rows), [], profiles[1]);
  for (const format of formats) {
    expect(written.body[format] === slowRows(format, columns, rows, profiles[1]), format).toBe(true);
  }
});

describe('P14: extremes are handled, or refused by name', () => {
  const sides = [
    { name: '_id', type: 'int4' },
    { name: 'a', type: 'text' },
    { name: 'b', type: 'text' },
  ];

  test.each([
    ['plain', 'x'.repeat(3_000_000)],
    ['of quotes', '"'.repeat(300_000)],
    ['of control characters', '\u0001\n'.repeat(200_000)],
    ['of markup', '<&>é'.repeat(200_000)],
  ])('a cell of megabytes, %s', (_, big) => {
    const rows = [
      ['1', 'before', 'x'],
      ['2', big, big.slice(0, 40_000)],
      ['3', 'after', null],
    ];
    const written = write(sides, copyMessages(rows), chunks(4_000_000), profiles[1]);
    for (const format of formats) {
      expect(written.body[format] === slowRows(format, sides, rows, profiles[1]), format).toBe(true);
    }
  });

  test('a cell of 64 MB', () => {
    const row = message('d', line(['1', 'y'.repeat(64 * 2 ** 20), 'end'], ','));
    const formatter = formatterOf(sides, profiles[1]);
    const bytes = forEachFormat(() => 0);
    for (let at = 0; at < row.length; at += 65_536) {
      formatter.feed(row.subarray(at, at + 65_536), (format, part) => {
        bytes[format] += part.length;
      });
    }
    expect(formatter.rows).toBe(1);
    expect(bytes.csv).toBe(row.length - 5);
    expect(bytes.json).toBe(row.length - 5 + '\n    [""""]'.length - 1);
    expect(bytes.ndjson).toBe(row.length - 5 + '{"_id":,"a":"","b":""}'.length - 2);
  });

  test('a table of 1,500 columns', () => {
    const columns = Array.from({ length: 1500 }, (_, i) => ({
      name: `column_${i}`,
      type: i % 3 === 0 ? 'numeric' : 'text',
    }));
    const rows = [columns.map((_, i) => (i % 7 === 0 ? null : `${i}.50`)), columns.map(() => null)];
    const written = write(columns, copyMessages(rows), chunks(100_000), profiles[1]);
    for (const format of formats)
      expect(written.body[format]).toBe(slowRows(format, columns, rows, profiles[1]));
  });

  test('JSON nested deeper than a call stack', () => {
    const columns = [{ name: 'j', type: 'json' }];
    const deep = '['.repeat(50_000) + '1.50' + ']'.repeat(50_000);
    const { body } = write(columns, copyMessages([[deep]]), [], profiles[1]);
    expect(body.json).toBe(`\n    [${deep.replace('1.50', '1.5')}]`);
    expect(body.ndjson).toBe(`{"j":${deep.replace('1.50', '1.5')}}\n`);
    expect(body.xml.length).toBeGreaterThan(50_000 * '<value key="0"></value>'.length);
  });

  test('a row beyond the limit is CELL_TOO_LARGE before it is read', () => {
    const header = message('d', '').subarray(0, 5);
    header.writeUInt32BE(largestRowBytes + 1, 1);
    expect(() => formatterOf(sides, profiles[1]).feed(header, () => {})).toThrow(
      expect.objectContaining({ code: 'CELL_TOO_LARGE' }),
    );
  });
});

describe('P1: what is no sound row is no row', () => {
  const columns = [
    { name: 'a', type: 'text' },
    { name: 'b', type: 'text' },
  ];
  test.each([
    ['too few cells', 'a\n'],
    ['too many cells', 'a,b,c\n'],
    ['an open quote', '"a,b\n'],
    ['no line end', 'a,b'],
    ['nothing', ''],
  ])('%s', (_, row) => {
    expect(() => formatterOf(columns, profiles[1]).feed(message('d', row), () => {})).toThrow(
      expect.objectContaining({ code: 'COPY_BROKEN' }),
    );
  });

  test.each(['d\0\0\0\x01', 'S\0\0\0\0', 'N\xff\xff\xff\xff'])(
    'a message shorter than its length: %j',
    (bytes) => {
      expect(() => formatterOf(columns, profiles[1]).feed(Buffer.from(bytes, 'latin1'), () => {})).toThrow(
        expect.objectContaining({ code: 'COPY_BROKEN' }),
      );
    },
  );
});

/** Cuts every 64 KiB. */
function chunks(length: number): number[] {
  return Array.from({ length: Math.floor(length / 65_536) }, (_, i) => (i + 1) * 65_536);
}
