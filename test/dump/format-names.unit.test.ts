/** Element names of XML: as each CKAN writes them where that is well-formed, repaired where it is not (promise P22). */
import { SaxesParser } from 'saxes';
import { expect, test } from 'vitest';
import { ckanProfile } from '../../src/ckan/profile.ts';
import { xmlNames } from '../../src/dump/format/xml-names.ts';

const raw = ckanProfile('2.11');
const clean = ckanProfile('2.12');

// Recorded of CKAN 2.12.0, table names-xml, without those that are no XML.
const cleaned: readonly (readonly [string, string])[] = [
  ['XMLfoo', 'foo'],
  ['xMl_bar', '_bar'],
  ['1a', 'a'],
  ['a b', 'a_b'],
  ['a  b', 'a_b_0'],
  ['a_b', 'a_b_1'],
  ['a.b', 'a.b'],
  ['-x', 'x'],
  ['.x', 'x_0'],
  ['été', 'été'],
  ['e\u0301te\u0301', 'été_0'],
  ['中文', '中文'],
  ['٣x', 'x_1'],
  ['xmlxml', 'xml'],
  ['a:b', 'ab'],
  ['col 1', 'col_1'],
  ['2 col', '_col'],
  ['x y\u3000z', 'x_y_z'],
  ['zero\u200bwidth', 'zerowidth'],
  ['\ufeffmark', 'mark'],
];

test('P22: 2.12 cleans and numbers', () => {
  const names = xmlNames(
    cleaned.map(([column]) => column),
    clean,
  );
  expect(names.elements).toEqual(cleaned.map(([, name]) => name));
  expect(names.declarations).toBe('');
});

test('P22: 2.12 names a column anew that is asked for twice', () => {
  expect(xmlNames(['name', 'n', 'name'], clean).elements).toEqual(['name_0', 'n', 'name_0']);
  expect(xmlNames(['name', 'n', 'name'], raw).elements).toEqual(['name', 'n', 'name']);
});

test('P22: 2.11 writes well-formed names raw, namespaces as ElementTree does, and cleans the rest', () => {
  const { elements, declarations } = xmlNames(
    [
      'xml',
      'XMLfoo',
      'a.b',
      'xsi:nil',
      'été',
      'a b',
      '1a',
      'a:b',
      '%%',
      '{http://example.com/ns}local',
      '{}empty',
    ],
    raw,
  );
  expect(elements).toEqual([
    'xml',
    'XMLfoo',
    'a.b',
    'xsi:nil',
    'été',
    'a_b',
    'a',
    'a:b',
    '_',
    'ns0:local',
    'ns1:empty',
  ]);
  expect(declarations).toBe(' xmlns:ns0="http://example.com/ns" xmlns:ns1=""');
});

// 2.11 writes `a:b` as it is, which no reader of namespaces takes.
test('P22: whatever the columns are called, the names are XML and differ', () => {
  const columns = [
    '',
    '%%',
    '()',
    '123',
    '12:30',
    '²x',
    'x',
    '😀',
    '{unclosed',
    '{http://x}a b',
    'a&b',
    'a<b',
    '"',
    "'",
    '\u0001',
    '\u00b7',
    '·a',
    '\u0300',
    '-',
    '.',
    '_',
    '__0',
    'xmlns:a',
    'xsi:',
    ':',
    'a:b:c',
    '\n',
    'row',
    'xml:lang',
    '{http://www.w3.org/2001/XMLSchema}s',
  ];
  for (const profile of [raw, clean]) {
    const { elements, declarations } = xmlNames(columns, profile);
    expect(new Set(elements).size).toBe(columns.length);
    const parser = new SaxesParser({ xmlns: profile === clean });
    parser.on('error', (error) => {
      throw error;
    });
    const body = elements.map((name) => `<${name} />`).join('');
    parser
      .write(
        `<data xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><row${declarations}>${body}</row></data>`,
      )
      .close();
  }
});
