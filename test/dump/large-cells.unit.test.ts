/** Large cells of JSON are written in pieces, with the bytes that small cells get (promises P13, P14, P22). */
import * as fc from 'fast-check';
import { expect, test, vi } from 'vitest';
import { ckanProfile } from '../../src/ckan/profile.ts';
import { createFormatter } from '../../src/dump/format/formatter.ts';
import { LargeNested } from '../../src/dump/format/large-nested.ts';
import { nestedJson, nestedXml } from '../../src/dump/format/nested-text.ts';
import { readNested } from '../../src/dump/format/nested.ts';
import { PieceBuffer } from '../../src/dump/format/piece-buffer.ts';
import { RepeatedKeys } from '../../src/dump/format/repeated-keys.ts';
import type { KernelFormat } from '../../src/format.ts';
import { copyMessages, message } from './copy-messages.ts';

// thousands of random texts, and cells of megabytes
vi.setConfig({ testTimeout: 60_000 });

const space = fc.constantFrom('', '', '', ' ', '\n\t', '\r ');
const unit = fc.constantFrom(
  'a',
  'b',
  'é',
  '😀',
  '\u2028',
  '\ufffe',
  '\uffff',
  '\ufeff',
  '\u007f',
  '&',
  '<',
  '>',
  "'",
  '/',
  ',',
  '{',
  '[',

  '\\"',
  '\\\\',
  '\\/',
  '\\b',
  '\\f',
  '\\n',
  '\\r',
  '\\t',
  '\\u0000',
  '\\u001f',
  '\\u0022',
  '\\u005C',
  '\\u003c',

  '\\ud83d\\ude00',
  '\\uD83D',
  '\\uDE00',
  '\\ud800\\ud83d\\ude00',
  '\\ufffe',
  '\\uFFFF',
  '\\u0061',
  '\\u00e9',
);
const string = fc
  .oneof(fc.array(unit, { maxLength: 6 }), fc.array(unit, { minLength: 60, maxLength: 90 }))
  .map((units) => `"${units.join('')}"`);
const key = fc.oneof(
  fc.constantFrom('"a"', '"\\u0061"', '"b"', '""', '"\\ud800"', '"\\ud801"', '"\ufffd"'),
  string,
);
const scalar = fc.oneof(
  fc.constantFrom(
    'null',
    'true',
    'false',
    '0',
    '-0',
    '-0.0',
    '1.0',
    '1e400',
    '-1E400',
    '1e-7',
    '0.0001',
    '1e16',
  ),
  fc.double({ noNaN: true, noDefaultInfinity: true }).map(String),
  fc.bigInt().map(String),
  string,
);
const { value } = fc.letrec<{ value: string }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 5, withCrossShrink: true },
    scalar,
    listOf(tie('value')),
    objectOf(tie('value')),
  ),
}));

function listOf(item: fc.Arbitrary<string>): fc.Arbitrary<string> {
  return fc
    .tuple(space, fc.array(fc.tuple(space, item, space), { maxLength: 12 }))
    .map(([empty, items]) => `[${empty}${items.map((parts) => parts.join('')).join(',')}]`);
}

function objectOf(item: fc.Arbitrary<string>): fc.Arbitrary<string> {
  const member = fc
    .tuple(space, key, space, space, item, space)
    .map(([before, name, colon, after, content, end]) => `${before}${name}${colon}:${after}${content}${end}`);
  return fc
    .tuple(space, fc.array(member, { maxLength: 24 }))
    .map(([empty, members]) => `{${empty}${members.join(',')}}`);
}

const out = new PieceBuffer();

/** As the formatter writes a large cell. */
function inPieces(text: string, element: string | null): string {
  const bytes = Buffer.from(`head,"${text.replaceAll('"', '""')}",tail`);
  const cell = { bytes, start: 6, end: bytes.length - 6 };
  const pieces: Buffer[] = [];
  out.emit = (piece) => pieces.push(Buffer.from(piece));
  const writer = new LargeNested(cell, element, new RepeatedKeys(cell), out);
  while (!writer.advance());
  return Buffer.concat(pieces).toString();
}

/** What a reader of UTF-8 sees: surrogates alone are U+FFFD. */
const encoded = (text: string): string => Buffer.from(text).toString();

function expectAlike(text: string): void {
  const read = readNested(text);
  expect(inPieces(text, null)).toBe(encoded(nestedJson(read)));
  expect(inPieces(text, 'é')).toBe(encoded(nestedXml('é', read)));
}

test('P22: in pieces every text of JSON is written as from objects, repeated keys and all', () => {
  fc.assert(
    fc.property(fc.tuple(space, value, space), (parts) => expectAlike(parts.join(''))),
    { numRuns: 800 },
  );
});

test('P22: thousands of keys, some of them repeated, in one object', () => {
  const names = Array.from({ length: 30_000 }, (_, i) => `"k${i % 20_011}"`);
  const members = names.map((name, i) => `${name}: ${i % 3 === 0 ? '{"x": [1, 2], "x": null}' : i}`);
  expectAlike(`{${members.join(',')}}`);
});

test('P22: repeated keys in one another are each written once, and in time', () => {
  const depth = 20_000;
  expectAlike(`${'{"a": [1, 2], "b": 3, "a": '.repeat(depth)}0${'}'.repeat(depth)}`);
});

const many = (count: number, item: (i: number) => string): string =>
  Array.from({ length: count }, (_, i) => item(i)).join(', ');
const count = 150_000;
const shapes = {
  numbers: `[${many(count, (i) => String(i % 10))}]`,
  'a wide object': `{${many(40_000, (i) => `"key ${i}": ${i / 8}`)}}`,
  'a long string': `{"a": "${'x<é\\n"'.slice(0, -1).repeat(count)}"}`,
  'a list of objects': `[${many(20_000, (i) => `{"id": ${i}, "name": "n", "id": null}`)}]`,
  'deep lists': `${'['.repeat(50_000)}"x"${']'.repeat(50_000)}`,
};
const formats: readonly KernelFormat[] = ['json', 'xml', 'ndjson', 'csv'];
const columns = ['a', 'j', 'k', 'z'].map((name) => {
  const type = name === 'j' || name === 'k' ? 'json' : 'text';
  return { name, type, field: { id: name, type } };
});

/** Each call's bytes of each format. */
function callsOf(stream: Buffer): Map<KernelFormat, Buffer>[] {
  const formatter = createFormatter({ columns, formats, profile: ckanProfile('2.12') });
  const calls: Map<KernelFormat, Buffer>[] = [];
  const feed = (chunk: Uint8Array): Uint8Array | null => {
    const parts: [KernelFormat, Buffer][] = [];
    const rest = formatter.feed(chunk, (format, bytes) => parts.push([format, Buffer.from(bytes)]));
    const byFormat = Map.groupBy(parts, ([format]) => format);
    calls.push(
      new Map([...byFormat].map(([format, of]) => [format, Buffer.concat(of.map(([, bytes]) => bytes))])),
    );
    return rest;
  };
  let rest: Uint8Array | null = null;
  for (let from = 0; from < stream.length && rest === null; from += 200_000) {
    rest = feed(stream.subarray(from, from + 200_000));
    while (formatter.isUnfinished) rest = feed(new Uint8Array());
    if (rest !== null) expect(Buffer.from(rest)).toEqual(message('c', ''));
  }
  expect(formatter.rows).toBe(3);
  return calls;
}

test.each(Object.entries(shapes))('P13, P14: a cell of %s is written in many short calls', (_name, text) => {
  const read = readNested(text);
  const long = '"&'.repeat(40_000);
  const rows = [
    ['first', '1', null, 'a'],
    [long, text, '[1.50]', long],
    ['', text, text, 'last'],
  ];
  const calls = callsOf(copyMessages(rows));
  const of = (format: KernelFormat): string =>
    Buffer.concat(calls.map((call) => call.get(format) ?? Buffer.alloc(0))).toString();
  const json = encoded(nestedJson(read));
  const quoted = JSON.stringify(long);
  expect(of('json')).toBe(
    `\n    ["first",1,null,"a"],\n    [${quoted},${json},[1.5],${quoted}],\n    ["",${json},${json},"last"]`,
  );
  const lines = [
    '{"a":"first","j":1,"k":null,"z":"a"}',
    `{"a":${quoted},"j":${json},"k":[1.5],"z":${quoted}}`,
    `{"a":"","j":${json},"k":${json},"z":"last"}\n`,
  ];
  expect(of('ndjson')).toBe(lines.join('\n'));
  const escaped = long.replaceAll('&', '&amp;');
  const third = `<row><a />${encoded(nestedXml('j', read))}${encoded(nestedXml('k', read))}<z>last</z></row>\n`;
  expect(of('xml').endsWith(third)).toBe(true);
  expect(of('xml')).toContain(
    `<a>${escaped}</a>${encoded(nestedXml('j', read))}<k><value key="0">1.5</value></k>`,
  );
  expect(of('csv')).toContain(text.replaceAll('"', '""'));
  // A call writes no more than a bounded piece, but for runs that the kernel copies from the input.
  for (const call of calls)
    for (const format of ['json', 'xml', 'ndjson'] as const)
      expect(call.get(format)?.length ?? 0).toBeLessThan(4_000_000);
});
